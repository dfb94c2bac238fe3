"""A dense convolution, logits through ReLU, and depthwise-separable and dilated convolutions."""

import torch.nn as nn
import torch.nn.functional as F


class Part1(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, bias=False)
        self.conv2 = nn.Conv2d(8, 8, 3, bias=False)
        self.conv3 = nn.Conv2d(8, 16, 3, bias=False)
        self.conv4 = nn.Conv2d(16, 8, 1, bias=False)
        self.conv5 = nn.Conv2d(8, 8, 3, bias=False)
        self.conv6 = nn.Conv2d(8, 16, 3, bias=False)
        self.conv7 = nn.Conv2d(16, 10, 1, bias=False)
        self.conv8 = nn.Conv2d(10, 10, 7, bias=False)

    def forward(self, x):
        x = F.relu(self.conv3(F.relu(self.conv2(F.relu(self.conv1(x))))))
        x = F.relu(self.conv4(F.max_pool2d(x, 2, 2)))
        x = F.relu(self.conv7(F.relu(self.conv6(F.relu(self.conv5(x))))))
        return F.log_softmax(self.conv8(x).view(-1, 10), dim=1)


def layer(a, b, kernel=3, **settings):
    return nn.Sequential(nn.Conv2d(a, b, kernel, bias=False, **settings), nn.BatchNorm2d(b), nn.ReLU(inplace=True))


class Part2(nn.Module):
    def __init__(self, dropout_value=0.01):
        super().__init__()
        self.dropout = nn.Dropout(dropout_value)
        self.layers = nn.ModuleList([layer(1, 8), layer(8, 8), layer(8, 16), layer(16, 8, 1), layer(8, 8), layer(8, 16)])
        self.last = layer(16, 10, 1)

    def forward(self, x):
        for i, one in enumerate(self.layers):
            x = one(x)
            if i == 2:
                x = F.max_pool2d(x, kernel_size=2)
            x = self.dropout(x)
        return F.log_softmax(self.last(x).mean(dim=(2, 3)), dim=1)


class Part3(nn.Module):
    def __init__(self, dropout_value=0.05):
        super().__init__()

        def depthwise(n, kernel=3, padding=0):
            return nn.Conv2d(n, n, kernel, padding=padding, groups=n, bias=False)

        def separable(a, b, kernel=3):
            return nn.Sequential(depthwise(a, kernel, kernel // 2), layer(a, b, 1))

        def dilated(n, dilation=2):
            return layer(n, n, padding=1, dilation=dilation)

        self.block1 = nn.Sequential(separable(1, 10), dilated(10), separable(10, 10), dilated(10), nn.Dropout(dropout_value))
        self.block2 = nn.Sequential(separable(10, 10), dilated(10), separable(10, 13))
        self.block3 = nn.Sequential(separable(13, 10, 1), dilated(10), separable(10, 10), dilated(10), nn.Dropout(dropout_value))
        self.block4 = nn.Sequential(separable(10, 13), dilated(13, 3), depthwise(13), layer(13, 13, 1))
        self.last = nn.Sequential(depthwise(13, 1), nn.Conv2d(13, 10, 1, bias=False))

    def forward(self, x):
        x = nn.functional.max_pool2d(self.block2(self.block1(x)), 2)
        x = self.last(self.block4(self.block3(x)))
        return F.adaptive_avg_pool2d(x, 1).flatten(1)
