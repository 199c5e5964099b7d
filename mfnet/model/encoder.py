"""The trunk that all views share: a torchvision ResNet and one feature vector per image."""

import torch
from torch import nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from mfnet.landmarks.ibug import N_LANDMARKS
from mfnet.landmarks.soft_argmax import soft_argmax

BACKBONES = {"resnet18": (BasicBlock, (2, 2, 2, 2)), "resnet50": (Bottleneck, (3, 4, 6, 3))}
FLAT_SIDE = 96
"""Side in pixels at which spatial pooling sees every image: the last feature map, 3 x 3, is flattened, so it is
fixed."""
FLAT_CHANNELS = 64
POINT_GAIN = 5.0
"""Located landmarks (ndc) stand beside the other features times this, so that a pixel counts as much as their noise."""


class Trunk(ResNet):
    """torchvision's ResNet without its classifier, every layer's channels multiplied by `width`.

    At width 1 the state dict has torchvision's names and shapes (without ``fc``).
    """

    def __init__(self, backbone: str, width: float) -> None:
        block, layers = BACKBONES[backbone]
        self.width = width  # before ResNet.__init__, which calls _make_layer
        super().__init__(block, list(layers))
        stem = self._scaled(64)
        if stem != 64:
            self.conv1 = nn.Conv2d(3, stem, kernel_size=7, stride=2, padding=3, bias=False)
            nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
            self.bn1 = nn.BatchNorm2d(stem)
        self.channels = [self._scaled(count) * block.expansion for count in (64, 128, 256, 512)]
        del self.fc, self.avgpool

    def _scaled(self, channels: int) -> int:
        return max(8, round(channels * self.width))

    def _make_layer(
        self, block: type[BasicBlock | Bottleneck], planes: int, blocks: int, stride: int = 1, dilate: bool = False
    ) -> nn.Sequential:
        if planes == 64:  # the first layer stands on the stem
            self.inplanes = self._scaled(64)
        return super()._make_layer(block, self._scaled(planes), blocks, stride, dilate)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Images [N,3,H,W] -> the feature maps of the four layers, at 1/4, 1/8, 1/16 and 1/32 of the resolution."""
        maps = [self.maxpool(self.relu(self.bn1(self.conv1(images))))]
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            maps.append(layer(maps[-1]))
        return maps[1:]


class LandmarkHead(nn.Module):
    """Where the 68 landmarks are: heat maps at a quarter of the resolution, from all layers, and their means.

    A face follows almost linearly from where its landmarks are in three views; a flattened feature map alone takes many
    times the training to say that to a pixel.
    """

    def __init__(self, channels: list[int], width: int = 48) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(count, width, kernel_size=1) for count in channels)
        self.smooth = nn.Sequential(
            nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        self.maps = nn.Conv2d(width, N_LANDMARKS, kernel_size=1)

    def forward(self, layers: list[torch.Tensor]) -> torch.Tensor:
        """Feature maps of the trunk, fine to coarse -> landmarks [N,68,2] in ndc of the image."""
        x = self.lateral[-1](layers[-1])
        for lateral, layer in zip(reversed(self.lateral[:-1]), reversed(layers[:-1]), strict=True):
            x = lateral(layer) + functional.interpolate(x, size=layer.shape[-2:], mode="nearest")
        points = soft_argmax(self.maps(self.smooth(x)).float())
        return (2 * points - 1) * points.new_tensor([1.0, -1.0])


class Encoder(nn.Module):
    """One image -> one feature vector of `features` numbers.

    Args:
        backbone: ``resnet18`` or ``resnet50``.
        width: multiplier of the trunk's channels; 1 is torchvision's own.
        pooling: ``global_average`` averages the last feature map (DECA, the paper: 2048 features of ResNet-50);
            ``spatial`` keeps where things are: 1x1 convolution to 64 channels, batch norm, ReLU, flatten; beside it the
            68 landmarks that a `LandmarkHead` sees. A small trunk learns little through an average within minutes.

    Images are RGB in [0, 1] and are not normalised further: DECA feeds its ResNet-50 the same range, and the first
    batch norm of a network trained here takes any constant away.
    """

    def __init__(self, backbone: str, width: float, pooling: str) -> None:
        super().__init__()
        self.trunk = Trunk(backbone, width)
        self.pooling = pooling
        if pooling == "global_average":
            self.features = self.trunk.channels[-1]
        else:
            self.squeeze = nn.Sequential(
                nn.Conv2d(self.trunk.channels[-1], FLAT_CHANNELS, kernel_size=1, bias=False),
                nn.BatchNorm2d(FLAT_CHANNELS),
                nn.ReLU(inplace=True),
            )
            self.locator = LandmarkHead(self.trunk.channels)
            self.features = FLAT_CHANNELS * (FLAT_SIDE // 32) ** 2 + 2 * N_LANDMARKS

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [N,3,H,W] in [0, 1] -> features [N, features]."""
        if self.pooling == "global_average":
            return self.trunk(images)[-1].mean(dim=(2, 3))
        if images.shape[-2:] != (FLAT_SIDE, FLAT_SIDE):
            images = resize(images, FLAT_SIDE)
        layers = self.trunk(images)
        points = POINT_GAIN * self.locator(layers)
        return torch.cat([self.squeeze(layers[-1]).flatten(1), points.flatten(1)], dim=1)

    def mean_features(self, landmarks: torch.Tensor) -> torch.Tensor:
        """Features [V,features] of the mean face, which regressors subtract from their input to centre it.

        landmarks [V,68,2]: the mean face's, ndc; the other features are taken as zero. Without centring the mean face
        outweighs the differences between faces a hundred times, and little is learned.
        """
        features = torch.zeros(len(landmarks), self.features)
        if self.pooling == "spatial":
            features[:, -2 * N_LANDMARKS :] = POINT_GAIN * landmarks.flatten(1)
        return features

    def located(self, features: torch.Tensor) -> torch.Tensor:
        """Features [...,features] of spatial pooling -> the landmarks in them [...,68,2], ndc."""
        return features[..., -2 * N_LANDMARKS :].float().unflatten(-1, (N_LANDMARKS, 2)) / POINT_GAIN


def resize(images: torch.Tensor, side: int) -> torch.Tensor:
    """Images [N,C,H,W] -> [N,C,side,side], antialiased, in the memory format they came in."""
    return functional.interpolate(images, size=(side, side), mode="bilinear", align_corners=False, antialias=True)
