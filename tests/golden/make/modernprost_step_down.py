"""Makes ../checkpoints/modernprost_step_down: the first ModernProst with its head of two levels.

The layers are transformers' ModernBertModel with gated units `Wo(silu(gate) * value)`, where
`value, gate = Wi(x)`; the head is `fc2(proj(silu(v(h)) * w(h)))` over `h = fc1(x)`. Weights are random.
Needs torch, transformers 4.57 and safetensors.
"""

import json
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import ModernBertConfig, ModernBertModel

torch.manual_seed(7)
here = pathlib.Path(__file__).parent.parent / "checkpoints"
folder = here / "modernprost_step_down"
folder.mkdir(exist_ok=True)
vocabulary = "<pad> </s> <unk> A L G V S R E D T I P K F Q N Y M H W C X B O U Z".split()
sizes = dict(
    vocab_size=28,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=4,
    num_attention_heads=2,
    pad_token_id=0,
    eos_token_id=1,
    local_attention=16,
    global_attn_every_n_layers=3,
)
encoder = ModernBertModel(
    ModernBertConfig(**sizes, attn_implementation="eager", reference_compile=False)
).eval()


class Units(torch.nn.Module):
    def __init__(self, old):
        super().__init__()
        self.Wi, self.Wo = old.Wi, old.Wo

    def forward(self, x):
        value, gate = self.Wi(x).chunk(2, dim=-1)
        return self.Wo(F.silu(gate) * value)


for layer in encoder.layers:
    layer.mlp = Units(layer.mlp)
for parameter in encoder.parameters():
    if parameter.dim() == 2:
        torch.nn.init.normal_(parameter, std=0.3)
quarter = sizes["hidden_size"] // 4
head = {
    "fc1.weight": torch.randn(quarter, sizes["hidden_size"]),
    "swiglu.w.weight": torch.randn(quarter, quarter),
    "swiglu.w.bias": torch.randn(quarter),
    "swiglu.v.weight": torch.randn(quarter, quarter),
    "swiglu.v.bias": torch.randn(quarter),
    "swiglu.proj.weight": torch.randn(quarter, quarter),
    "swiglu.proj.bias": torch.randn(quarter),
    "fc2.weight": torch.randn(20, quarter),
}
tensors = {f"model.{name}": value for name, value in encoder.state_dict().items()}
tensors |= {f"projection.{name}": value for name, value in head.items()}
tensors |= {
    "plddt_head.0.weight": torch.randn(quarter, sizes["hidden_size"]),
    "plddt_head.0.bias": torch.randn(quarter),
    "plddt_head.2.weight": torch.randn(1, quarter),
    "plddt_head.2.bias": torch.randn(1),
}
save_file({name: value.contiguous() for name, value in tensors.items()}, folder / "model.safetensors", {"format": "pt"})
(folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
(folder / "config.json").write_text(
    json.dumps({"architectures": ["ModernProst"], "model_type": "modernprost", "hidden_activation": "gelu", **sizes}, indent=2)
)

sequences = [line.strip() for line in (here / "legacy.faa").read_text().splitlines() if line[0] != ">"]
expected = {}
with torch.no_grad():
    for index, sequence in enumerate(sequences):
        ids = torch.tensor([[vocabulary.index(letter) for letter in sequence]])
        states = encoder(ids).last_hidden_state[0]
        narrow = states @ head["fc1.weight"].T
        value = narrow @ head["swiglu.w.weight"].T + head["swiglu.w.bias"]
        gate = narrow @ head["swiglu.v.weight"].T + head["swiglu.v.bias"]
        back = (F.silu(gate) * value) @ head["swiglu.proj.weight"].T + head["swiglu.proj.bias"]
        expected[f"mean/p{index}"] = states.mean(0)
        expected[f"three_di/p{index}"] = (back @ head["fc2.weight"].T).contiguous()
save_file(expected, here / "modernprost_step_down.expected.safetensors")
