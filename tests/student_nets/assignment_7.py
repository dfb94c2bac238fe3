"""Dense layers, and four poolings; the training at the end must not run."""

import torch
import torch.nn as nn
import torch.optim as optim


class Model_1(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(8, 16, kernel_size=3, padding=1)
        self.pool = nn.MaxPool2d(2, 2)
        self.relu = nn.ReLU()
        self.fc1 = nn.Linear(16 * 7 * 7, 32)
        self.fc2 = nn.Linear(32, 10)

    def forward(self, x):
        x = self.pool(self.relu(self.conv1(x)))
        x = self.pool(self.relu(self.conv2(x)))
        x = x.view(-1, 16 * 7 * 7)
        return self.fc2(self.relu(self.fc1(x)))


class Model_2(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(6, 12, kernel_size=3, padding=1)
        self.pool = nn.MaxPool2d(2, 2)
        self.dropout = nn.Dropout(0.2)
        self.fc1 = nn.Linear(12 * 7 * 7, 24)
        self.fc2 = nn.Linear(24, 10)

    def forward(self, x):
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.dropout(self.pool(torch.relu(self.conv2(x))))
        x = x.reshape(x.shape[0], -1)
        return self.fc2(self.fc1(x).relu())


class Model_3(nn.Module):
    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(a, b, 3, padding=1) for a, b in [(1, 4), (4, 8), (8, 12), (12, 16), (16, 10)]])
        self.norms = nn.ModuleList([nn.BatchNorm2d(n) for n in (4, 8, 12, 16, 10)])
        self.pool = nn.MaxPool2d(2, 2)
        self.dropout = nn.Dropout(0.15)
        self.gap = nn.AdaptiveAvgPool2d((1, 1))

    def forward(self, x):
        for conv, norm in list(zip(self.convs, self.norms, strict=True))[:4]:
            x = self.dropout(self.pool(torch.relu(norm(conv(x)))))
        x = self.gap(torch.relu(self.norms[4](self.convs[4](x))))
        return x.view(-1, 10)


device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
model = Model_3().to(device)
optimizer = optim.Adam(model.parameters(), lr=0.01)
while True:
    optimizer.step()
