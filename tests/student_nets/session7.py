"""Convolutions in a `nn.Sequential` each, dropout as an argument, log-probabilities."""

import torch.nn as nn
import torch.nn.functional as F

dropout_value = 0.01


class Net1(nn.Module):
    def __init__(self, dropout=0.05):
        super(Net1, self).__init__()  # noqa: UP008
        self.convblock1 = nn.Sequential(nn.Conv2d(1, 16, (3, 3), padding=0, bias=False), nn.BatchNorm2d(16), nn.Dropout(dropout), nn.ReLU())
        self.convblock2 = nn.Sequential(
            nn.Conv2d(16, 32, (3, 3), padding=0, bias=False), nn.BatchNorm2d(32), nn.Dropout(dropout), nn.ReLU()
        )
        self.convblock3 = nn.Sequential(nn.Conv2d(in_channels=32, out_channels=10, kernel_size=(1, 1), padding=0, bias=False))
        self.pool1 = nn.MaxPool2d(2, 2)
        self.convblock4 = nn.Sequential(
            nn.Conv2d(10, 16, (3, 3), padding=0, bias=False), nn.BatchNorm2d(16), nn.Dropout(dropout), nn.ReLU()
        )
        self.convblock5 = nn.Sequential(
            nn.Conv2d(16, 16, (3, 3), padding=0, bias=False), nn.BatchNorm2d(16), nn.Dropout(dropout), nn.ReLU()
        )
        self.convblock6 = nn.Sequential(
            nn.Conv2d(16, 16, (3, 3), padding=0, bias=False), nn.BatchNorm2d(16), nn.Dropout(dropout), nn.ReLU()
        )
        self.convblock7 = nn.Sequential(
            nn.Conv2d(16, 16, (3, 3), padding=1, bias=False), nn.BatchNorm2d(16), nn.Dropout(dropout), nn.ReLU()
        )
        self.gap = nn.Sequential(nn.AvgPool2d(kernel_size=6))
        self.convblock8 = nn.Sequential(nn.Conv2d(16, 10, (1, 1), bias=False))

    def forward(self, x):
        x = self.convblock1(x)
        x = self.convblock2(x)
        x = self.convblock3(x)
        x = self.pool1(x)
        x = self.convblock4(x)
        x = self.convblock5(x)
        x = self.convblock6(x)
        x = self.convblock7(x)
        x = self.gap(x)
        x = self.convblock8(x)
        x = x.view(-1, 10)
        return F.log_softmax(x, dim=-1)


class Net2(nn.Module):
    """The last convolution is depthwise."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(*self.conv(1, 8), *self.conv(8, 12), *self.conv(12, 10, 1), nn.MaxPool2d(2, 2))
        self.more = nn.Sequential(*self.conv(10, 12), *self.conv(12, 12), *self.conv(12, 16), *self.conv(16, 16, 3, padding=1, groups=16))
        self.out = nn.Conv2d(16, 10, 1, bias=False)

    def conv(self, a, b, kernel=3, **settings):
        return nn.Conv2d(a, b, kernel, bias=False, **settings), nn.BatchNorm2d(b), nn.Dropout(dropout_value), nn.ReLU()

    def forward(self, x):
        x = self.out(F.avg_pool2d(self.more(self.features(x)), 6))
        return F.log_softmax(x.view(-1, 10), dim=-1)


class Net3(nn.Module):
    """Grouped convolutions; the average leaves out the last row and column."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1, groups=8, bias=False)
        self.bn2 = nn.BatchNorm2d(16)
        self.conv3 = nn.Conv2d(16, 32, 3, bias=False)
        self.bn3 = nn.BatchNorm2d(32)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv4 = nn.Conv2d(32, 32, 3, padding=1, groups=16, bias=False)
        self.bn4 = nn.BatchNorm2d(32)
        self.conv5 = nn.Conv2d(32, 64, 1, bias=False)
        self.bn5 = nn.BatchNorm2d(64)
        self.drop = nn.Dropout(dropout_value)
        self.gap = nn.AvgPool2d(12)
        self.conv6 = nn.Conv2d(64, 10, 1, bias=False)

    def forward(self, x):
        x = F.relu(self.drop(self.bn1(self.conv1(x))))
        x = F.relu(self.drop(self.bn2(self.conv2(x))))
        x = self.pool(F.relu(self.drop(self.bn3(self.conv3(x)))))
        x = F.relu(self.drop(self.bn4(self.conv4(x))))
        x = F.relu(self.drop(self.bn5(self.conv5(x))))
        x = self.conv6(self.gap(x))
        return F.log_softmax(x.view(-1, 10), dim=-1)


class Net4(nn.Module):
    """ReLU, normalization, dropout; a loop over a `nn.ModuleList`."""

    def __init__(self, dropout_value=0.01):
        super().__init__()
        widths = [1, 8, 12, 10, 12, 12, 16, 16]
        self.dropout_value = dropout_value
        self.convs = nn.ModuleList()
        self.norms = nn.ModuleList()
        for i in range(7):
            kernel = 1 if i == 2 else 3
            self.convs.append(nn.Conv2d(widths[i], widths[i + 1], kernel, padding=int(i == 6), bias=False))
            self.norms.append(nn.Identity() if i == 2 else nn.BatchNorm2d(widths[i + 1]))
        self.fc = nn.Conv2d(16, 10, 1, bias=False)

    def forward(self, x):
        for i in range(7):
            x = self.convs[i](x)
            if i == 2:
                x = F.max_pool2d(self.norms[i](x), 2, 2)
            else:
                x = F.dropout(self.norms[i](F.relu(x)), self.dropout_value, training=self.training)
        x = self.fc(F.avg_pool2d(x, kernel_size=6))
        return x.view(x.size(0), -1)
