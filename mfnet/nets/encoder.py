"""The trunk that all views share: a torchvision ResNet and one feature vector per image."""

import torch
from torch import nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

BACKBONES = {"resnet18": (BasicBlock, (2, 2, 2, 2)), "resnet50": (Bottleneck, (3, 4, 6, 3))}
FLAT_SIDE = 96
"""Side in pixels at which the flat head sees every image: its last feature map, 3 x 3, is flattened, so it is fixed."""
FLAT_CHANNELS = 64


class Trunk(ResNet):
    """torchvision's ResNet without its classifier, every layer's channels multiplied by `width`.

    At width 1 the state dict has torchvision's names and shapes (without ``fc``).
    """

    def __init__(self, backbone: str, width: float):
        block, layers = BACKBONES[backbone]
        self.width = width  # before ResNet.__init__, which calls _make_layer
        super().__init__(block, list(layers))
        stem = self._scaled(64)
        if stem != 64:
            self.conv1 = nn.Conv2d(3, stem, kernel_size=7, stride=2, padding=3, bias=False)
            nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
            self.bn1 = nn.BatchNorm2d(stem)
        self.channels = self._scaled(512) * block.expansion
        del self.fc, self.avgpool

    def _scaled(self, channels: int) -> int:
        return max(8, round(channels * self.width))

    def _make_layer(self, block, planes, blocks, stride=1, dilate=False):
        if planes == 64:  # the first layer stands on the stem
            self.inplanes = self._scaled(64)
        return super()._make_layer(block, self._scaled(planes), blocks, stride, dilate)

    def forward(self, images):
        """Images [N,3,H,W] -> last feature map [N,C,H/32,W/32]."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


class Encoder(nn.Module):
    """One image -> one feature vector of `features` numbers.

    Args:
        backbone: ``resnet18`` or ``resnet50``.
        width: multiplier of the trunk's channels; 1 is torchvision's own.
        head: ``pool`` averages the last feature map (DECA, the paper: 2048 features of ResNet-50); ``flat`` keeps where
            things are: 1x1 convolution to 64 channels, batch norm, ReLU, flatten. A small trunk learns little through
            a pooled head within minutes.

    Images are RGB in [0, 1] and are not normalised further: DECA feeds its ResNet-50 the same range, and the first
    batch norm of a network trained here takes any constant away.
    """

    def __init__(self, backbone: str, width: float, head: str):
        super().__init__()
        self.trunk = Trunk(backbone, width)
        self.head = head
        if head == "pool":
            self.features = self.trunk.channels
        else:
            self.squeeze = nn.Sequential(
                nn.Conv2d(self.trunk.channels, FLAT_CHANNELS, kernel_size=1, bias=False),
                nn.BatchNorm2d(FLAT_CHANNELS),
                nn.ReLU(inplace=True),
            )
            self.features = FLAT_CHANNELS * (FLAT_SIDE // 32) ** 2

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [N,3,H,W] in [0, 1] -> features [N, features]."""
        if self.head == "pool":
            return self.trunk(images).mean(dim=(2, 3))
        if images.shape[-2:] != (FLAT_SIDE, FLAT_SIDE):
            images = resize(images, FLAT_SIDE)
        return self.squeeze(self.trunk(images)).flatten(1)


def resize(images: torch.Tensor, side: int) -> torch.Tensor:
    """Images [N,C,H,W] -> [N,C,side,side], antialiased, in the memory format they came in."""
    return functional.interpolate(images, size=(side, side), mode="bilinear", align_corners=False, antialias=True)
