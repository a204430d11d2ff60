"""What is read of others is never run: each call that could run code says that it does not."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.test_imports import PACKAGE


def calls(name: str) -> Iterator[tuple[str, dict[str, object]]]:
    """Where the program calls a function or method of this name, and the constants that it gives by keyword."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(name):
                given = {word.arg or "**": getattr(word.value, "value", None) for word in node.keywords}
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}: {ast.unparse(node.func)}", given


def test_no_code_comes_with_a_model():
    found = dict(calls(".from_pretrained"))
    assert len(found) == 5  # configuration and tokenizer, with weights and without; weights
    for where, given in found.items():
        assert given.get("trust_remote_code") is False, where
        assert "Model" not in where or given.get("use_safetensors") is True, where


def test_no_pickle_is_loaded():
    for name, safe in (("torch.load", {"weights_only": True}), ("np.load", {})):
        found = dict(calls(name))
        assert found
        for where, given in found.items():
            assert given.items() >= safe.items(), where
            assert not given.get("allow_pickle"), where
    for module in ("pickle.load", "pickle.loads", "joblib.load", "eval", "exec"):
        assert not [where for where, _ in calls(module) if where.endswith(f": {module}")]
