import torch

from uniref import UniFusion
from uniref.model.structures import (
    ProjectedTokens,
    ReferenceTokens,
    batch_references,
    concat_tokens,
    split_reference,
)


def awake(dim: int = 16) -> UniFusion:
    fusion = UniFusion(dim, heads=2, head_dim=8).eval()
    torch.nn.init.normal_(fusion.modulation.weight)
    torch.nn.init.normal_(fusion.modulation.bias)
    return fusion


def reference(batch: int = 2, tokens: int = 5, dim: int = 16) -> ReferenceTokens:
    return ReferenceTokens(
        torch.randn(batch, tokens, dim), torch.randn(batch, tokens, dim), None, torch.randn(batch, dim)
    )


def test_a_fresh_module_is_the_identity() -> None:
    features, ref = torch.randn(2, 7, 16), reference()
    out = UniFusion(16, 2, 8)(features, ref.keys, ref.values, ref.embedding)
    assert torch.equal(out, features)


def test_an_open_gate_adds_what_was_attended_to() -> None:
    torch.manual_seed(0)
    fusion, features, ref = UniFusion(16, 2, 8).eval(), torch.randn(2, 7, 16), reference()
    torch.nn.init.constant_(fusion.modulation.bias[32:], 0.5)
    attended = fusion.attend(fusion.query_norm(features), fusion.project(ref))
    out = fusion(features, ref.keys, ref.values, ref.embedding)
    assert torch.allclose(out, features + 0.5 * attended, atol=1e-6)
    assert not torch.allclose(out, features)


def test_equation_written_out() -> None:
    fusion, features, ref = awake(), torch.randn(2, 7, 16), reference()
    q, k = fusion.query(fusion.query_norm(features)), fusion.key(fusion.key_norm(ref.keys))
    v = fusion.value(ref.values)
    heads = []
    for h in range(2):
        part = slice(8 * h, 8 * h + 8)
        heads.append((q[..., part] @ k[..., part].transpose(1, 2) * 8**-0.5).softmax(-1) @ v[..., part])
    a = fusion.out(torch.cat(heads, -1))
    shift, scale, gate = fusion.modulation(torch.nn.functional.silu(ref.embedding))[:, None].chunk(3, -1)
    expected = features + gate * (a * (1 + scale) + shift)
    torch.testing.assert_close(fusion(features, ref.keys, ref.values, ref.embedding), expected)


def test_padded_tokens_have_no_influence() -> None:
    fusion, features, ref = awake(), torch.randn(2, 7, 16), reference()
    padding = torch.zeros(2, 5, dtype=torch.bool)
    padding[0, 3:] = True
    expected = fusion(features[:1], ref.keys[:1, :3], ref.values[:1, :3], ref.embedding[:1])
    ref.keys[0, 3:], ref.values[0, 3:] = 50.0, -50.0
    out = fusion(features, ref.keys, ref.values, ref.embedding, padding)
    torch.testing.assert_close(out[:1], expected)


def test_two_references_add_from_the_same_features() -> None:
    fusion, features = awake(), torch.randn(2, 7, 16)
    one, two = fusion.project(reference()), fusion.project(reference(tokens=3))
    both = fusion.fuse(features, [one, two])
    torch.testing.assert_close(
        both - features, fusion.fuse(features, [one]) + fusion.fuse(features, [two]) - 2 * features
    )


def test_one_image_serves_many_objects() -> None:
    fusion, features, ref = awake(), torch.randn(1, 7, 16), reference(batch=3)
    shared = fusion.fuse(features, [fusion.project(ref)])
    repeated = fusion.fuse(features.expand(3, -1, -1), [fusion.project(ref)])
    torch.testing.assert_close(shared, repeated)


def test_concatenated_references_average_their_embeddings() -> None:
    fusion = awake()
    one, two = fusion.project(reference()), fusion.project(reference(tokens=3))
    joined = concat_tokens([one, two])
    assert joined.keys.shape[1] == 8
    assert joined.padding is None
    torch.testing.assert_close(joined.embedding, (one.embedding + two.embedding) / 2)


def test_objects_of_one_frame_keep_their_keys_shared() -> None:
    keys, values = torch.randn(1, 21, 2, 8), torch.randn(3, 21, 2, 8)
    padding = torch.zeros(1, 21, dtype=torch.bool)
    parts = split_reference((ProjectedTokens(keys, values, padding, torch.randn(1, 16)),))
    assert all(part[0].keys is parts[0][0].keys for part in parts)
    (joined,) = batch_references(parts)
    assert joined.keys is keys
    assert torch.equal(joined.values, values)
