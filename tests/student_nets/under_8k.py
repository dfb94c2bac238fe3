"""Biases before every normalization, and a base class."""

import torch
from torch import nn
from torch.nn import functional as F


class Base(nn.Module):
    norm = False
    dropout = 0.0

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.conv3, self.conv4 = nn.Conv2d(8, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.conv5, self.conv6 = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 1)
        self.fc = nn.Linear(16 * 3 * 3, 10)
        if self.norm:
            for i, n in enumerate([8, 8, 16, 16, 16, 16], 1):
                setattr(self, f"bn{i}", nn.BatchNorm2d(n))

    def layer(self, x, i):
        x = F.relu(getattr(self, f"conv{i}")(x))
        if self.norm:
            x = getattr(self, f"bn{i}")(x)
        return F.dropout(x, self.dropout, self.training) if self.dropout else x

    def forward(self, x):
        for i in (1, 3, 5):
            x = F.max_pool2d(self.layer(self.layer(x, i), i + 1), 2)
        return F.log_softmax(self.fc(torch.flatten(x, 1)), dim=1)


class NetReLU(Base):
    pass


class NetBatchNorm(Base):
    norm = True


class NetDropout(Base):
    norm = True
    dropout = 0.05


class NetGAP(nn.Module):
    def __init__(self, dropout_value=0.1):
        super().__init__()

        def conv(a, b, kernel=3, padding=1):
            return [nn.Conv2d(a, b, kernel, padding=padding), nn.ReLU(), nn.BatchNorm2d(b)]

        self.block1 = nn.Sequential(*conv(1, 8), *conv(8, 8), nn.MaxPool2d(2, 2), nn.Dropout(dropout_value))
        self.block2 = nn.Sequential(*conv(8, 16), *conv(16, 16), nn.MaxPool2d(2, 2), nn.Dropout(dropout_value))
        self.block3 = nn.Sequential(*conv(16, 16), *conv(16, 10, 1, 0), nn.MaxPool2d(2, 2), nn.Dropout(dropout_value))
        self.gap = nn.AdaptiveAvgPool2d(1)

    def forward(self, x):
        x = self.gap(self.block3(self.block2(self.block1(x))))
        return F.log_softmax(x.squeeze(-1).squeeze(-1), dim=1)
