"""The Vision Transformer of Part 4 of the article series: 86,284,806 parameters at 128x128.

After Dosovitskiy et al., "An Image is Worth 16x16 Words", arXiv 2010.11929::

    batch norm of the image → patches of 16x16 → linear → + a learned embedding of each position
    → 12 blocks: x + attention(norm(x)), then x + MLP(norm(x))
    → linear to the 16x16 logits of every class → put back where the patch was

There is no class token and no norm after the last block. Each patch's logits come from its own token alone:
no two patches are smoothed into each other. As in the article's notebook, attention starts as
``nn.MultiheadAttention`` does, position embeddings start normal with standard deviation 1, and dropout acts
on attention weights and on what each MLP gives.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segnet.base.errors import SegnetError
from segnet.core.dropout import is_sampling


class ViT(nn.Module):
    """Part 4's Vision Transformer. Images ``(N, C, H, W)`` in [0, 1], H and W multiples of ``patch``.

    Args:
        num_classes: channels of the logits.
        in_channels: channels of the image.
        image_size: pixels each way that have an embedding of their own for each position; for images of
            another size the embeddings are interpolated.
        patch: pixels each way of a patch.
        width: values of a token; by default as many as a patch has, so 768.
        depth: blocks.
        heads: heads of each attention; they share the width.
        dropout: share of the values that are dropped in training, by each attention and each MLP.

    Raises:
        SegnetError: an image size that isn't made of patches, heads that don't divide the width, nothing of
            something, or a dropout outside 0 to 1.
    """

    def __init__(
        self,
        num_classes: int = 3,
        in_channels: int = 3,
        *,
        image_size: int = 128,
        patch: int = 16,
        width: int | None = None,
        depth: int = 12,
        heads: int = 8,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        if min(image_size, patch, depth, heads) < 1 or not 0 <= dropout < 1:
            raise SegnetError(
                "vit takes an image_size, patch, depth and heads of at least 1 and a dropout from 0 to below "
                f"1, got {image_size}, {patch}, {depth}, {heads} and {dropout}"
            )
        if image_size % patch:
            raise SegnetError(f"an image_size of {image_size} can't be cut into patches of {patch}x{patch}")
        pixels = in_channels * patch**2
        width = pixels if width is None else width
        if width < 1 or width % heads:
            raise SegnetError(
                f"a width of {width} can't be shared by {heads} heads; take heads that divide it"
            )
        self.patch = self.minimum_size = self.size_multiple = patch
        self.normalise = nn.BatchNorm2d(in_channels)
        self.embed = nn.Linear(pixels, width)
        tokens_a_side = image_size // patch
        self.position = nn.Parameter(torch.randn(tokens_a_side, tokens_a_side, width))
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(depth))
        self.to_logits = nn.Linear(width, num_classes * patch**2)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(N, classes, H, W)``.

        Raises:
            SegnetError: an image that can't be cut into patches.
        """
        height, width = image.shape[-2:]
        if height % self.patch or width % self.patch:
            raise SegnetError(
                f"an image of {height}x{width} can't be cut into vit's patches of {self.patch}x{self.patch}; "
                f"take sides that are multiples of {self.patch}"
            )
        patches = F.pixel_unshuffle(self.normalise(image), self.patch)  # (N, 3·16·16, h, w)
        tokens = self.embed(patches.movedim(1, -1))  # (N, h, w, width)
        rows, columns = tokens.shape[1:3]
        x = (tokens + resample(self.position, rows, columns)).flatten(1, 2)  # (N, h·w, width)
        for block in self.blocks:
            x = block(x)
        patches = self.to_logits(x).unflatten(1, (rows, columns)).movedim(-1, 1)
        return F.pixel_shuffle(patches, self.patch)


class Block(nn.Module):
    """Pre-norm transformer block: attention over all tokens, then an MLP of four times the width."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(dropout)
        )
        nn.init.xavier_uniform_(self.query_key_value.weight)
        nn.init.zeros_(self.query_key_value.bias)
        nn.init.zeros_(self.project.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, tokens, width)`` to the same shape."""
        x = x + self.attention(self.norm_attention(x))
        return x + self.mlp(self.norm_mlp(x))

    def attention(self, x: Tensor) -> Tensor:
        """Let every token gather from all (Vaswani et al., arXiv 1706.03762, section 3.2)."""
        # (N, tokens, 3·width) to three of (N, heads, tokens, width / heads)
        query, key, value = self.query_key_value(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if is_sampling():  # the same in single steps: what drops inside torch's function takes no generator
            scale = query.shape[-1] ** -0.25
            weights = ((query * scale) @ (key * scale).transpose(-2, -1)).softmax(-1)
            gathered = self.dropout(weights) @ value
        else:
            drop = self.dropout.p if self.dropout.training else 0.0
            gathered = F.scaled_dot_product_attention(query, key, value, dropout_p=drop)
        return self.project(gathered.transpose(1, 2).flatten(2))


def resample(position: Tensor, rows: int, columns: int) -> Tensor:
    """Interpolate embeddings ``(h, w, C)`` linearly to ``(rows, columns, C)``.

    Written as products and sums: bilinear interpolation has no deterministic gradient on CUDA, and autocast
    would take a matrix product in bfloat16.
    """
    if not torch.compiler.is_compiling() and position.shape[:2] == (rows, columns):
        return position  # bit by bit what the sums give; compiled, asking would tie the graph to one size
    down = linear_weights(position.shape[0], rows, position)
    across = linear_weights(position.shape[1], columns, position)
    tall = (down[:, :, None, None] * position).sum(1)  # (rows, w, C)
    return (across[:, :, None] * tall[:, None]).sum(2)


def linear_weights(before: int, after: int, like: Tensor) -> Tensor:
    """Return ``(after, before)``: how much each sample counts in each interpolated one; rows sum to 1."""
    centres = (torch.arange(after, device=like.device, dtype=like.dtype) + 0.5) * (before / after) - 0.5
    samples = torch.arange(before, device=like.device, dtype=like.dtype)
    return (1 - (centres.clamp(0, before - 1)[:, None] - samples).abs()).clamp(min=0)
