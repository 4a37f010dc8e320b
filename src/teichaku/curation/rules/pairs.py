"""Rules that look at one example alone."""

from collections.abc import Callable, Mapping
from difflib import SequenceMatcher

from teichaku.core.records import Example, Passage
from teichaku.core.text import comparable, contains, is_language, script_shares

_COPIED_CHARACTERS = 40
_COPIED_SHARE = 0.5


def wrong_language(
    language: str, passages: Mapping[str, Passage]
) -> Callable[[Example], tuple[str, str] | None]:
    """The rule: the question, or the running text, is in ``language``, whatever the script of
    the name in it.

    Answers may be names or numbers of any script.
    """

    def rule(example: Example) -> tuple[str, str] | None:
        passage = passages.get(example.passage_id)
        # An instruction may come with an input of another language, which is to be translated.
        wording = example.answer if example.is_text else example.question
        if is_language(wording, language, passage.title if passage else ""):
            return None
        if example.is_text and passage and contains(example.answer, passage.text):
            return None  # the passage itself, in whatever language the user wrote it
        shares = ", ".join(
            f"{name} {share:.0%}" for name, share in sorted(script_shares(wording).items())
        )
        return "wrong_language", f"expected {language}; its letters are {shares}"

    return rule


def question_is_answer(example: Example) -> tuple[str, str] | None:
    """The rule: the answer is not the question again, and the question does not give it away."""
    question, answer = comparable(example.question), comparable(example.answer)
    if question == answer and not example.is_text:
        return "question_is_answer", example.question
    if not answer:
        return "empty_answer", f"no letter or digit in '{example.answer}'"
    if not example.is_text and contains(example.question, example.answer):
        return "answer_in_question", f"'{example.answer}' stands in the question"
    return None


def copied_question(
    passages: Mapping[str, Passage],
) -> Callable[[Example], tuple[str, str] | None]:
    """The rule: the question is no piece of the passage with a question mark behind it.

    It falls where one unbroken piece of the passage, the title aside, has at least 40 letters
    and makes up half of it. Small teachers do this with dense texts such as abstracts.
    """

    def rule(example: Example) -> tuple[str, str] | None:
        passage = passages.get(example.passage_id)
        if passage is None or example.is_text:
            return None
        question, title = comparable(example.question), comparable(passage.title)
        question = question.replace(title, "") if title else question
        whole = comparable(passage.text)
        found = SequenceMatcher(None, whole, question, autojunk=False).find_longest_match()
        if found.size < _COPIED_CHARACTERS or found.size < _COPIED_SHARE * len(question):
            return None
        piece = question[found.b : found.b + found.size]
        return "copied_question", f"{found.size} letters of the passage in one piece: {piece}"

    return rule
