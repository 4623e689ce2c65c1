import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sk_amips.datasets import encode_texts


class Lengths:
    """Encodes a text as its length and a constant."""

    constant = 1

    def encode(self, texts, batch_size):
        self.batch_size = batch_size
        return np.array([[len(text), self.constant] for text in texts])


class TwoSided(Lengths):
    """Has another constant for each side."""

    def encode_document(self, texts, batch_size):
        return self.encode(texts, batch_size) + np.array([0, 1])

    def encode_query(self, texts, batch_size):
        return self.encode(texts, batch_size) + np.array([0, 2])


class Fixed:
    def __init__(self, output):
        self.output = output

    def encode(self, texts, batch_size):
        return self.output


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_rows(kind):
    encoder = Lengths()
    X = encode_texts(kind(["a", "abc"]), encoder, batch_size=7)
    assert X.dtype == np.float32
    assert_array_equal(X, [[1, 1], [3, 1]])
    assert encoder.batch_size == 7


@pytest.mark.parametrize(
    ("encoder", "constants"), [(Lengths(), [1, 1, 1]), (TwoSided(), [1, 2, 3])]
)
def test_roles(encoder, constants):
    X = [encode_texts(["a"], encoder, role=role) for role in (None, "key", "query")]
    assert [int(x[0, 1]) for x in X] == constants


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (np.ones((3, 2)), "one row a text, got 3 for 2"),
        (np.ones(2), "2D array"),
        (np.full((2, 2), np.nan), "encoder's output contains NaN"),
        (np.ones((2, 0)), "0 feature"),
    ],
)
def test_bad_output(output, message):
    with pytest.raises(ValueError, match=message):
        encode_texts(["a", "b"], Fixed(output))


def test_bad_input():
    with pytest.raises(TypeError, match="got one str"):
        encode_texts("a", Lengths())
    with pytest.raises(TypeError, match=r"encoder must be .* got int"):
        encode_texts(["a"], 3)
    with pytest.raises(ValueError, match="got 'document'"):
        encode_texts(["a"], Lengths(), role="document")


def test_without_sentence_transformers(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ImportError, match=r"sk-amips\[text\]"):
        encode_texts(["a"], "some-model")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_model_in_a_folder(tmp_path):
    library = pytest.importorskip(
        "sentence_transformers", reason="needs sk-amips[text]"
    )
    from sentence_transformers.models import StaticEmbedding

    tokenizers = pytest.importorskip("tokenizers")
    words = {"[UNK]": 0, "rain": 1, "snow": 2, "query": 3}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, "[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    embedding = StaticEmbedding(
        tokenizer, embedding_weights=np.eye(4, dtype=np.float32)
    )
    prompts = {"query": "query ", "document": ""}
    model = library.SentenceTransformer(
        modules=[embedding], prompts=prompts, device="cpu"
    )
    model.save(str(tmp_path / "model"))
    texts = ["rain", "snow", "rain snow"]
    for folder in (tmp_path / "model", str(tmp_path / "model")):
        X = encode_texts(texts, folder, role="key", device="cpu")
        assert X.dtype == np.float32
        assert_array_equal(X, [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0.5, 0.5, 0]])
    X = encode_texts(["rain"], model, role="query")
    assert_array_equal(X, [[0, 0.5, 0, 0.5]])
