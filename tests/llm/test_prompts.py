from __future__ import annotations

from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmi2i_cli.errors import InputError, UsageError
from llmi2i_cli.llm.item_model import RaggedTokens
from llmi2i_cli.llm.prompts import (
    BARE,
    PromptPieces,
    build_pieces,
    discriminator_sequence,
    generator_sequence,
    query_sequence,
    read_template,
    tokenize_distinct,
)
from llmi2i_cli.llm.word_tokenizer import build_word_tokenizer
from tests.llm.tiny import CHAT, bpe_tokenizer, layout_of

WORDS = ["ask", "now", "old", "young", "next", "answer", "red", "lamp", "oak", "chair", "user", "assistant"]
TOKENIZER = build_word_tokenizer([" ".join(WORDS)] * 2, 100)
BASE = len(TOKENIZER)  # item k is token BASE + k
LAYOUT = layout_of(BASE, n_items=5, n_evidence=6)
TITLES = ["red lamp", "oak", "", "red oak chair", "never seen"]


def word(*names):
    return [{"<s>": 1, **TOKENIZER.get_vocab()}[name] for name in names]


def array(*items):
    return np.array(items, np.int32)


def pieces_of(template, *, profiles=None, titles=False):
    titles = tokenize_distinct(TOKENIZER, TITLES, 32) if titles else None
    return build_pieces(TOKENIZER, LAYOUT, template, profiles=profiles, titles=titles)


TALE = "ask {profile} now {history}"
QUESTION = "ask {profile} now {history} next {candidate} answer"


def test_texts_are_tokenised_once_each_cut_and_without_unknown_words():
    tokenizer = Mock(wraps=TOKENIZER, unk_token_id=TOKENIZER.unk_token_id)
    found = tokenize_distinct(tokenizer, ["red lamp", "", "never lamp red", "red lamp"], 2)
    texts = ["red lamp", "", "never lamp red"]
    tokenizer.assert_called_once_with(texts, add_special_tokens=False, split_special_tokens=True)
    assert [found.row(k).tolist() for k in range(4)] == [
        word("red", "lamp"),
        [],
        word("lamp", "red"),
        word("red", "lamp"),
    ]
    assert tokenize_distinct(TOKENIZER, [], 3).ptr.tolist() == [0]


def test_the_bare_history():
    sequence, targets = generator_sequence(pieces_of(BARE["generator"]), 0, array(3, 0, 3, 4), 64)
    assert sequence.tokens.tolist() == [1, BASE + 3, BASE + 0, BASE + 3]  # the last item is only a target
    assert sequence.outputs.tolist() == [0, 1, 2, 3]
    assert targets.tolist() == [3, 0, 3, 4]
    query = query_sequence(pieces_of(BARE["generator"]), 0, array(3, 0), 64)
    assert query.tokens.tolist() == [1, BASE + 3, BASE + 0]
    assert query.outputs.tolist() == [2]


def test_instruction_profile_and_titles():
    pieces = pieces_of(TALE, profiles=["young", "old user"], titles=True)
    sequence, targets = generator_sequence(pieces, 1, array(0, 2, 3, 1), 64)
    prefix = word("<s>", "ask", "old", "user", "now")
    body = [BASE + 0, *word("red", "lamp"), BASE + 2, BASE + 3, *word("red", "oak", "chair")]
    assert sequence.tokens.tolist() == prefix + body
    assert sequence.outputs.tolist() == [4, 7, 8, 12]  # the end of the prefix, and of each item's title
    assert targets.tolist() == [0, 2, 3, 1]
    assert sequence.positions.tolist() == list(range(13))
    assert not sequence.groups.any()
    first = query_sequence(pieces, 0, array(), 64)
    assert first.tokens.tolist() == word("<s>", "ask", "young", "now")
    assert first.outputs.tolist() == [3]


@pytest.mark.parametrize("profiles", [None, ["", ""]])
def test_no_profiles_leave_the_place_empty(profiles):
    assert pieces_of(TALE, profiles=profiles).prefix(1).tolist() == word("<s>", "ask", "now")


def test_candidates_stand_side_by_side_behind_one_history():
    pieces = pieces_of(QUESTION, titles=True)
    evidence = np.array([[0, 3], [1, 5]], np.int32)
    sequence = discriminator_sequence(pieces, 0, array(1, 2), array(0, 4), evidence, 64)
    shared = [*word("<s>", "ask", "now"), BASE + 1, *word("oak"), BASE + 2, *word("next")]
    first = [BASE + 0, *word("red", "lamp"), *word("answer")]
    second = [BASE + 4, *word("answer")]
    assert sequence.tokens.tolist() == shared + first + second
    assert sequence.groups.tolist() == [0] * 7 + [1] * 4 + [2] * 2
    assert sequence.positions.tolist() == [*range(7), *range(7, 11), *range(7, 9)]
    assert sequence.outputs.tolist() == [10, 12]
    # What is known of a candidate is added to its item token and takes no place of its own.
    assert sequence.evidence.tolist() == [[BASE + 5, BASE + 8], [BASE + 6, BASE + 10]]
    assert sequence.evidence_at.tolist() == [7, 11]
    assert sequence.tokens[sequence.evidence_at].tolist() == [BASE + 0, BASE + 4]


def test_a_candidate_without_history_and_a_history_without_candidate():
    pieces = pieces_of(QUESTION)
    alone = discriminator_sequence(pieces, 0, array(), array(2), array(1)[None], 64)
    assert alone.tokens.tolist() == [*word("<s>", "ask", "now", "next"), BASE + 2, *word("answer")]
    assert alone.outputs.tolist() == [5]
    assert (alone.evidence.tolist(), alone.evidence_at.tolist()) == ([[BASE + 6]], [4])
    asked = discriminator_sequence(pieces, 0, array(1), array(), np.zeros((0, 1), np.int32), 64)
    assert asked.tokens.tolist() == [*word("<s>", "ask", "now"), BASE + 1, *word("next")]
    assert asked.outputs.tolist() == []
    assert (asked.evidence.shape, asked.evidence_at.tolist()) == ((0, 1), [])


def test_the_latest_items_that_fit():
    pieces = pieces_of(TALE, titles=True)
    items = array(3, 0, 1, 2)  # 4, 3, 2 and 1 tokens
    kept = {budget: pieces.most_recent_that_fit(items, budget).tolist() for budget in range(-1, 11)}
    assert kept[-1] == kept[0] == kept[1] == kept[2] == [2]
    assert kept[3] == kept[5] == [1, 2]
    assert kept[6] == kept[9] == [0, 1, 2]
    assert kept[10] == [3, 0, 1, 2]
    assert pieces.most_recent_that_fit(array(), 5).tolist() == []
    sequence, targets = generator_sequence(pieces, 0, items, 3 + 6)
    assert targets.tolist() == [0, 1, 2]
    assert sequence.tokens[3] == BASE + 0


TITLE_LENGTHS = st.lists(st.integers(0, 4), min_size=5, max_size=5)


@given(
    TITLE_LENGTHS,
    st.integers(0, 5),
    st.lists(st.integers(0, 4), max_size=20),
    st.lists(st.integers(0, 4), max_size=4),
    st.integers(0, 40),
)
def test_where_there_is_room_no_prompt_is_longer_than_asked(title_lengths, profile, items, candidates, extra):
    empty = np.zeros(0, np.int64)
    pieces = PromptPieces(
        LAYOUT,
        before_profile=np.zeros(2, np.int64),
        before_history=empty,
        before_candidate=np.zeros(3, np.int64),
        after_candidate=np.zeros(1, np.int64),
        profiles=RaggedTokens.from_lists([[], [0] * profile]),
        titles=RaggedTokens.from_lists([[0] * n for n in title_lengths]),
    )
    least = 2 + profile + 2 * (1 + max(title_lengths)) + 3 + 1
    with pytest.raises(UsageError, match=f"--max-length {least - 1} is too short .* at least {least}"):
        pieces.check_room(least - 1)
    pieces.check_room(least)
    max_length = least + extra
    history = np.array(items, np.int32)
    evidence = np.zeros((len(candidates), 2), np.int32)
    asked = discriminator_sequence(pieces, 1, history, np.array(candidates, np.int32), evidence, max_length)
    assert asked.positions.max() < max_length
    query = query_sequence(pieces, 1, history, max_length)
    assert len(query.tokens) <= max_length
    if items:
        sequence, targets = generator_sequence(pieces, 1, history, max_length)
        assert len(sequence.tokens) <= max_length
        assert targets.tolist() == items[len(items) - len(targets) :]
        # And none is left out that would have fitted.
        whole = 2 + profile + sum(1 + title_lengths[item] for item in items)
        assert len(targets) == len(items) or whole > max_length


def test_a_prompt_of_nothing_cannot_be_asked():
    empty = np.zeros(0, np.int64)
    pieces = PromptPieces(LAYOUT, empty, empty, empty, empty, profiles=None, titles=None)
    with pytest.raises(ValueError, match="empty prompt"):
        query_sequence(pieces, 0, array(), 64)
    sequence, targets = generator_sequence(pieces, 0, array(3, 1), 64)
    assert sequence.tokens.tolist() == [BASE + 3]  # a first item with nothing before it is no target
    assert (sequence.outputs.tolist(), targets.tolist()) == ([0], [1])


def test_a_chat_model_is_addressed_through_its_template():
    tokenizer = bpe_tokenizer(chat=True)
    assert tokenizer.chat_template == CHAT
    layout = layout_of(len(tokenizer), 5)
    tale = build_pieces(tokenizer, layout, "ask {profile} now {history}", profiles=["old"], titles=None)
    # The history is what the assistant says: the generator goes on with it.
    assert tokenizer.decode(tale.prefix(0)) == "[user]ask old now[assistant]"
    question = build_pieces(tokenizer, layout, QUESTION, profiles=["old"], titles=None)
    assert tokenizer.decode(question.prefix(0)) == "[user]ask old now "
    assert tokenizer.decode(question.before_candidate) == " next "
    assert tokenizer.decode(question.after_candidate) == " answer[assistant]"


def test_the_first_token_of_a_base_is_put_once():
    layout = layout_of(500, 5)
    with_begin, without = bpe_tokenizer(), bpe_tokenizer(begin=False)
    assert with_begin.decode(
        build_pieces(with_begin, layout, "ask {history}", profiles=None, titles=None).prefix(0)
    ) == ("<s>ask ")
    assert with_begin.decode(
        build_pieces(with_begin, layout, "<s>ask {history}", profiles=None, titles=None).prefix(0)
    ) == ("<s>ask ")
    assert without.decode(build_pieces(without, layout, "ask {history}", profiles=None, titles=None).prefix(0)) == (
        "ask "
    )


@pytest.mark.parametrize("role", ["generator", "discriminator"])
def test_the_templates_of_the_package_are_as_a_users_must_be(tmp_path, role):
    shipped = read_template(None, role)
    (tmp_path / "mine.txt").write_text(shipped + "\n\n")
    assert read_template(tmp_path / "mine.txt", role) == shipped


@pytest.mark.parametrize(
    "role, text, message",
    [
        ("generator", "no place", "a generator template needs {history} exactly once, and it is there 0 times"),
        ("generator", "{history} {history}", "needs {history} exactly once, and it is there 2 times"),
        ("generator", "{profile}{profile}{history}", "needs {profile} exactly once, and it is there 2 times"),
        ("generator", "{history} {candidate}", "a generator template has no {candidate}: take it out"),
        ("generator", "{history} {profile}", "the places must come in the order profile, history"),
        ("generator", "{history} and then", "a generator template must end with {history}"),
        ("discriminator", "{history}", "a discriminator template needs {candidate} exactly once"),
        ("discriminator", "{candidate} {history}", "the places must come in the order profile, history, candidate"),
    ],
)
def test_a_template_that_cannot_work_is_refused_in_one_line(tmp_path, role, text, message):
    path = tmp_path / "t.txt"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_template(path, role)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_template_that_cannot_be_read(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00{history}")
    for name in ("missing", "binary"):
        with pytest.raises(InputError, match=f"{name} cannot be read as a template"):
            read_template(tmp_path / name, "generator")


def test_a_title_that_spells_a_control_token_stays_text():
    tokenizer = build_word_tokenizer(["yes s lamp", "yes s lamp"], max_words=10)
    found = tokenize_distinct(tokenizer, ["<yes> lamp</s>"], max_tokens=9)
    assert tokenizer.convert_ids_to_tokens(found.tokens.tolist()) == ["yes", "lamp", "s"]
