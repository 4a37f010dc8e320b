from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from transformers.models.llama.modeling_llama import LlamaModel

from languages import SENTENCES, natural_text
from teichaku.backends import transformers_log_probabilities as backend
from teichaku.backends import transformers_shared as shared
from teichaku.backends.registry import cache_home, resolve
from teichaku.backends.transformers import TransformersSettings, TransformersStudent
from teichaku.backends.transformers_log_probabilities import TransformersLanguageModel, encode
from teichaku.core.models import ScoredText, TokenScores
from teichaku.core.records import Message, Request, Sampling
from tiny_student import make_gemma3, make_model, student

TEXTS = [sentence for group in SENTENCES.values() for sentence in group] + ["🍜は𠮷野家で。🏴‍☠️"]


@pytest.fixture(autouse=True)
def _one_thread(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads only wait for one another on matrices as small as those of the tiny model."""
    if not request.node.get_closest_marker("models"):
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def language_model(folder: Path) -> TransformersLanguageModel:
    return student(folder).language_model()


def scores(
    model: TransformersLanguageModel, texts: list[ScoredText], moments: bool = False
) -> list[TokenScores]:
    return list(model.token_log_probabilities(texts, moments))


def distributions(folder: Path, whole: str) -> tuple[list[int], np.ndarray]:
    """The tokens of a text after the first, and the model's distribution at each, by its own
    forward pass.
    """
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokens = AutoTokenizer.from_pretrained(folder)(whole, return_tensors="pt").input_ids
    with torch.no_grad():
        logits = model(tokens).logits[0, :-1].double()
    return tokens[0, 1:].tolist(), logits.log_softmax(1).numpy()


def test_a_token_has_the_log_probability_that_the_model_gives_it(
    folder: Path, language_model: TransformersLanguageModel
) -> None:
    for text in TEXTS:
        tokens, expected = distributions(folder, text)
        (found,) = scores(language_model, [ScoredText(text)])
        assert found.log_probabilities.dtype == np.float32
        own = expected[np.arange(len(tokens)), tokens]
        np.testing.assert_allclose(found.log_probabilities, own, atol=1e-4)
        assert (found.start, found.end, found.cut) == (0, len(text), 0)
        assert found.means is None


def test_the_moments_are_those_of_a_token_that_the_model_draws(
    folder: Path, language_model: TransformersLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The vocabulary is gone through in several parts.
    monkeypatch.setattr(backend, "_LOGITS_ON_CPU", 1)
    monkeypatch.setattr(backend, "_FEWEST_COLUMNS", 7)
    text = TEXTS[0]
    _, expected = distributions(folder, text)
    (found,) = scores(language_model, [ScoredText(text)], moments=True)
    mean = (np.exp(expected) * expected).sum(1)
    deviation = np.sqrt((np.exp(expected) * (expected - mean[:, None]) ** 2).sum(1))
    assert found.means is not None
    assert found.deviations is not None
    np.testing.assert_allclose(found.means, mean, atol=1e-4)
    np.testing.assert_allclose(found.deviations, deviation, atol=1e-4)


def test_the_text_after_its_context_is_the_end_of_the_whole(
    language_model: TransformersLanguageModel,
) -> None:
    context, text = "質問：料金は？\n回答：", "1,800円"
    whole, after = scores(language_model, [ScoredText(context + text), ScoredText(text, context)])
    assert len(after.log_probabilities) == len(text.encode())
    np.testing.assert_allclose(
        after.log_probabilities, whole.log_probabilities[-len(text.encode()) :], atol=1e-5
    )


@pytest.mark.parametrize("moments", [False, True])
def test_neighbours_and_the_size_of_a_batch_change_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, moments: bool
) -> None:
    monkeypatch.setattr(backend, "_PACKED_WINDOW", 5)
    of = student(folder)
    texts = [ScoredText(text, TEXTS[-at][: at % 7]) for at, text in enumerate(TEXTS)]
    alone = scores(of.language_model(batch_tokens=1), texts, moments)
    together = scores(of.language_model(batch_tokens=400), texts, moments)
    backwards = scores(of.language_model(batch_tokens=150), texts[::-1], moments)[::-1]
    for one, other, third in zip(alone, together, backwards, strict=True):
        for name in ("log_probabilities", "means", "deviations")[: 3 if moments else 1]:
            expected = getattr(one, name)
            np.testing.assert_allclose(getattr(other, name), expected, atol=1e-4)
            np.testing.assert_allclose(getattr(third, name), expected, atol=1e-4)


def test_padded_rows_give_what_packed_ones_do(
    folder: Path, language_model: TransformersLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [ScoredText(text) for text in TEXTS]
    expected = scores(language_model, texts)
    monkeypatch.setattr(shared, "use_packing", lambda model: False)
    for one, other in zip(expected, scores(language_model, texts), strict=True):
        np.testing.assert_allclose(other.log_probabilities, one.log_probabilities, atol=1e-4)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens each pass of a Llama reads, in the order of the passes."""
    counts: list[int] = []
    own = LlamaModel.forward

    def counted(self: LlamaModel, input_ids: torch.Tensor, **options: object) -> object:
        counts.append(input_ids.numel())
        return own(self, input_ids=input_ids, **options)

    monkeypatch.setattr(LlamaModel, "forward", counted)
    return counts


SHOTS = "質問：湖の深さは？\n回答：12.5 m\n\n"
CHOICES = [
    ScoredText(choice, f"{SHOTS}質問：{question}\n回答：")
    for question in ("船の定員は？", "船体の木は？", "料金は？", "建造年は？")
    for choice in ("0", "1", "檜", "1,800円", "1,800人")
]


@pytest.mark.parametrize("window", [1, 3, 7, 32])
@pytest.mark.parametrize("batch_tokens", [1, 30, 4096])
@pytest.mark.parametrize("is_packed", [True, False])
def test_shared_beginnings_change_nothing(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    window: int,
    batch_tokens: int,
    is_packed: bool,
) -> None:
    # Longer than what parts two questions.
    long = [ScoredText("檜と杉と欅" * 20, text.context) for text in CHOICES[::5]]
    ends = [ScoredText("湖"), ScoredText(SHOTS), ScoredText(SHOTS, "昔。")]
    texts = [*CHOICES, *ends, *long, *CHOICES]
    expected = [scores(student(folder).language_model(), [text], moments=True)[0] for text in texts]
    monkeypatch.setattr(backend, "_PACKED_WINDOW", window)
    monkeypatch.setattr(backend, "_PADDED_WINDOW", window)
    if not is_packed:
        monkeypatch.setattr(shared, "use_packing", lambda model: False)
    found = scores(student(folder).language_model(batch_tokens), texts, moments=True)
    for one, other in zip(expected, found, strict=True):
        for name in ("log_probabilities", "means", "deviations"):
            np.testing.assert_allclose(getattr(other, name), getattr(one, name), atol=1e-4)
        assert (one.start, one.end, one.cut) == (other.start, other.end, other.cut)


@pytest.mark.parametrize("is_packed", [True, False])
def test_what_texts_begin_with_is_read_once_for_the_whole_stream(
    folder: Path, monkeypatch: pytest.MonkeyPatch, read: list[int], is_packed: bool
) -> None:
    monkeypatch.setattr(backend, "_PACKED_WINDOW", 5)
    monkeypatch.setattr(backend, "_PADDED_WINDOW", 5)
    if not is_packed:
        monkeypatch.setattr(shared, "use_packing", lambda model: False)
    labels = [text for text in CHOICES if len(text.text) == 1 and text.text != "檜"]
    # Of one window all share the context; of the next ones only the examples.
    texts = [ScoredText(label, text.context) for text in labels[::2] for label in "01234"]
    model = student(folder).language_model()
    scores(model, texts[:5])
    first = sum(read)
    read.clear()
    scores(model, texts)
    own = [len(text.context[len(SHOTS) :].encode()) for text in texts[::5]]
    whole = 1 + len(SHOTS.encode())
    checks = first - (whole + own[0])
    if is_packed:
        # The first window does not know yet where the others part from it.
        assert sum(read) - checks <= whole + sum(own) + whole
    assert sum(read) < 2 * (whole + sum(own)) + checks
    unshared = 5 * sum(whole + one for one in own)
    assert sum(read) * 4 < unshared


def test_beginnings_are_shared_within_a_sliding_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_gemma3(tmp_path)
    monkeypatch.setattr(backend, "_PACKED_WINDOW", 6)
    found = scores(student(tmp_path).language_model(50), CHOICES)
    for text, one in zip(CHOICES, found, strict=True):
        tokens, expected = distributions(tmp_path, text.context + text.text)
        own = expected[np.arange(len(tokens)), tokens]
        count = len(text.text.encode())
        np.testing.assert_allclose(one.log_probabilities, own[-count:], atol=1e-4)


def test_texts_are_pulled_a_window_at_a_time(
    folder: Path, language_model: TransformersLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "_PACKED_WINDOW", 3)
    pulled = []

    def texts() -> Iterator[ScoredText]:
        for text in TEXTS:
            pulled.append(text)
            yield ScoredText(text)

    stream = language_model.token_log_probabilities(texts())
    next(stream)
    assert pulled == TEXTS[:3]


def test_nothing_is_loaded_for_no_texts() -> None:
    def network() -> None:
        raise AssertionError("loaded")

    assert not scores(TransformersLanguageModel("none", network, network), [])


def test_what_is_too_long_is_cut_at_the_end_and_counted(
    folder: Path, language_model: TransformersLanguageModel
) -> None:
    long, context = "船" * 100, "か" * 90
    alone, after, none = scores(
        language_model,
        [ScoredText(long), ScoredText("船は檜", context[:80]), ScoredText("船", context)],
    )
    # The model reads 256 tokens, the first of which begins every text; a character has three.
    assert (len(alone.log_probabilities), alone.cut) == (255, 300 + 1 - 256)
    assert alone.end == 85
    (same,) = scores(language_model, [ScoredText(long[:85])])
    np.testing.assert_allclose(alone.log_probabilities, same.log_probabilities, atol=1e-4)
    assert (len(after.log_probabilities), after.cut, after.end) == (9, 0, 3)
    assert (len(none.log_probabilities), none.cut, none.end) == (0, 271 + 3 - 256, 0)


def test_a_text_without_tokens_has_no_scores(language_model: TransformersLanguageModel) -> None:
    empty, after = scores(language_model, [ScoredText(""), ScoredText("", "船")], moments=True)
    for found in (empty, after):
        assert len(found.log_probabilities) == 0
        assert found.means is not None
        assert (found.start, found.end) == (0, 0)


def test_half_a_surrogate_pair_is_scored_as_some_character(
    language_model: TransformersLanguageModel,
) -> None:
    (found,) = scores(language_model, [ScoredText("船\ud800は", "檜\udc00")])
    assert len(found.log_probabilities) == 3 + 1 + 3
    assert found.end == 3


class _Merging:
    """A tokenizer as the backend sees one; its tokens are given with their places."""

    bos_token_id = 1

    def __init__(self, pieces: list[str], begins: bool) -> None:
        self.pieces, self.begins = pieces, begins

    def __call__(self, texts: object, **_: object) -> object:
        if texts == "":
            return type("", (), {"input_ids": [1] if self.begins else []})
        ends = np.cumsum([len(piece) for piece in self.pieces]).tolist()
        spans = list(zip([0, *ends], ends, strict=False))
        return {"input_ids": [list(range(5, 5 + len(ends)))], "offset_mapping": [spans]}


@pytest.mark.parametrize(
    ("context", "text", "pieces", "scored"),
    [
        # The mark of the context and the name after it are one token.
        ("質問は？回答：", "東京です", ["質問", "は？", "回答", "：東京", "です"], 2),
        ("答：", "東京", ["答：", "東", "京"], 2),
        # One token holds the context and the text: all of it counts.
        ("お", "茶", ["お茶"], 1),
    ],
)
def test_a_token_that_reaches_over_the_border_counts_to_the_text(
    context: str, text: str, pieces: list[str], scored: int
) -> None:
    (row,) = encode(_Merging(pieces, begins=True), [ScoredText(text, context)], 99)
    assert len(row.tokens) == len(pieces) + 1
    assert len(row.tokens) - row.first == scored
    assert (row.start, row.end) == (0, len(text))


def test_a_real_tokenizer_joins_the_border_of_context_and_text() -> None:
    vocabulary = {
        piece: at for at, piece in enumerate(["<bos>", *"答：東京都は茶", "東京", "：東京"])
    }
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[("東", "京"), ("：", "東京")]))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<bos>")
    asked = [
        ScoredText("京都は", "答：東"),
        ScoredText("茶", "答：東京"),
        ScoredText("東京都", "答："),
    ]
    rows = encode(tokenizer, asked, 99)
    pieces = [tokenizer.convert_ids_to_tokens(list(row.tokens[row.first :])) for row in rows]
    # The whole is tokenized as one: the text alone would begin with a token of its own.
    assert pieces == [["：東京", "都", "は"], ["茶"], ["：東京", "都"]]
    assert [(row.start, row.end) for row in rows] == [(0, 3), (0, 1), (0, 3)]


def test_without_a_token_to_begin_with_the_first_is_not_scored() -> None:
    (row,) = encode(
        _Merging(["東京", "タワー", "だ"], begins=False), [ScoredText("東京タワーだ")], 99
    )
    assert (row.first, row.start, row.end) == (1, 2, 6)
    (row,) = encode(_Merging(["お茶", "だ"], begins=False), [ScoredText("茶だ", "お")], 99)
    assert (row.first, row.start, row.end) == (1, 1, 2)
    (row,) = encode(_Merging(["東京"], begins=False), [ScoredText("東京")], 99)
    assert len(row.tokens) == row.first


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(natural_text, st.text(st.sampled_from("檜はa ๑ก字🍜\n。"), max_size=9)),
        min_size=1,
        max_size=4,
    )
)
def test_every_token_of_the_whole_belongs_to_the_context_or_the_text(
    folder: Path, pairs: list[tuple[str, str]]
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = encode(tokenizer, [ScoredText(text, context) for context, text in pairs], 10**6)
    for row, (context, text) in zip(rows, pairs, strict=True):
        # A token of the tiny model is a byte.
        assert row.first == 1 + len(context.encode())
        assert len(row.tokens) - row.first == len(text.encode())


def real_student() -> TransformersStudent:
    resolved = resolve("smollm2-135m-instruct")
    return TransformersStudent(
        resolved.path,
        name="smollm2-135m-instruct",
        sha256=resolved.sha256,
        kind=resolved.kind,
        plain_template="{question}",
        cache=cache_home() / "converted",
        settings=TransformersSettings(device="cpu", dtype="float32"),
    )


@pytest.mark.models
def test_shared_beginnings_change_nothing_of_a_real_model() -> None:
    of = real_student()
    alone = [scores(of.language_model(), [text])[0] for text in CHOICES]
    together = scores(of.language_model(60), CHOICES)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(other.log_probabilities, one.log_probabilities, atol=1e-4)
    shots = "The boat Aoba Maru takes 48 guests and was built in 1987.\n"
    requests = [
        Request((Message("user", shots + question),), Sampling(max_tokens=24))
        for question in ("How many guests?", "When was it built?", "What is it?", "Who owns it?")
    ]
    answers = {reply.request: reply.text for reply in of.generate(requests)}
    for request in requests:
        (reply,) = of.generate([request])
        assert answers[request] == reply.text


@pytest.mark.models
def test_a_real_model_gives_the_same_whatever_the_batch() -> None:
    of = real_student()
    texts = [ScoredText(text, "The boat.\n" if at % 2 else "") for at, text in enumerate(TEXTS)]
    alone = scores(of.language_model(batch_tokens=1), texts, moments=True)
    together = scores(of.language_model(), texts, moments=True)
    tokenizer = AutoTokenizer.from_pretrained(of.folder)
    model = AutoModelForCausalLM.from_pretrained(of.folder, dtype=torch.float32)
    for one, other, text in zip(alone, together, texts, strict=True):
        np.testing.assert_allclose(one.log_probabilities, other.log_probabilities, atol=2e-3)
        np.testing.assert_allclose(one.deviations, other.deviations, atol=2e-3)  # type: ignore[arg-type]
        tokens = tokenizer(text.context + text.text, return_tensors="pt").input_ids
        with torch.no_grad():
            whole = model(tokens).logits[0, :-1].log_softmax(1)
        own = whole.gather(1, tokens[0, 1:, None])[:, 0].numpy()
        scored = len(one.log_probabilities)
        np.testing.assert_allclose(one.log_probabilities, own[len(own) - scored :], atol=2e-3)
