import builtins
import gzip

import pytest

from llmi2i_cli.data.compression import pieces
from llmi2i_cli.errors import InputError

zstandard = pytest.importorskip("zstandard")
TEXT = b"".join(b"user %d item\n" % number for number in range(3000))


def frames(*parts):
    return b"".join(zstandard.ZstdCompressor().compress(part) for part in parts)


@pytest.mark.parametrize("n_bytes", [1, 7, 1000, 10**6])
@pytest.mark.parametrize(
    "content", [TEXT, gzip.compress(TEXT, mtime=0), frames(TEXT), frames(TEXT[:100], b"", TEXT[100:])]
)
def test_the_text_is_told_by_content(tmp_path, content, n_bytes):
    (tmp_path / "log").write_bytes(content)
    assert b"".join(pieces(tmp_path / "log", n_bytes)) == TEXT


@pytest.mark.parametrize("content", [frames(TEXT)[:-1], frames(TEXT)[:50], frames(TEXT) + b"more", frames(TEXT)[:4]])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "log").write_bytes(content)
    with pytest.raises(InputError, match="log is truncated or damaged: zstd cannot decompress it; get it again"):
        list(pieces(tmp_path / "log", 1000))


def test_a_little_that_stands_for_much_is_not_decompressed_at_once(tmp_path):
    (tmp_path / "log").write_bytes(frames(bytes(2**28)))
    assert len(next(pieces(tmp_path / "log", 1000))) <= 2**25


def test_without_the_package_the_remedy_is_named(tmp_path, monkeypatch):
    (tmp_path / "log.zst").write_bytes(frames(TEXT))
    real = builtins.__import__

    def missing(name, *arguments, **options):
        if name == "zstandard":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(InputError, match=r"log.zst is compressed with zstd: pip install 'llmi2i\[zstd\]'"):
        list(pieces(tmp_path / "log.zst", 1000))
