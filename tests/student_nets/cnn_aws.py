"""Logits through normalization and ReLU."""

import torch.nn.functional as F
from torch import nn


class Conv(nn.Module):
    def __init__(self, a, b, kernel=3, padding=0, dropout=0.03):
        super().__init__()
        self.conv = nn.Conv2d(a, b, kernel, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(b)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        return self.dropout(self.bn(F.relu(self.conv(x))))


class Model1(nn.Module):
    width = 12

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(Conv(1, 8), Conv(8, 8))
        self.transition = nn.Conv2d(8, 8, 1, bias=False)
        width = self.width
        self.second = nn.Sequential(Conv(8, width), Conv(width, width), Conv(width, width, padding=1), Conv(width, width, padding=1))
        self.last = nn.Sequential(
            nn.AvgPool2d(8),
            nn.Conv2d(width, 10, 1, bias=False),
            nn.BatchNorm2d(10),
            nn.ReLU(),
        )

    def forward(self, x):
        x = F.max_pool2d(self.transition(self.first(x)), 2)
        return self.last(self.second(x)).flatten(1)


class Model2(Model1):
    width = 14
