import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from teichaku.core.records import Document, Dropped, content_id
from teichaku.documents.files import hash_inputs
from teichaku.documents.loading import Columns, glance, load_documents
from teichaku.recipes.load import BUILTIN

ALL = Columns()


def write(root: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def load(
    root: Path, paths: Sequence[str] = (".",), columns: Columns = ALL
) -> tuple[list[Document], list[Dropped]]:
    out = list(load_documents(paths, root, columns))
    documents = [item for item in out if isinstance(item, Document)]
    return documents, [item for item in out if isinstance(item, Dropped)]


def sources(documents: list[Document]) -> list[str]:
    return [document.source for document in documents]


def test_files_folders_and_globs_are_found_and_hidden_ones_passed_over(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"a.txt": "一", "b/c.md": "二", "b/.d.md": "三", ".e/f.txt": "四", "g/h.txt": "五"},
    )
    assert sources(load(tmp_path)[0]) == ["a.txt", "b/c.md", "g/h.txt"]
    assert sources(load(tmp_path, ["a.txt", "b"])[0]) == ["a.txt", "b/c.md"]
    assert sources(load(tmp_path, ["**/*.txt"])[0]) == ["a.txt", "g/h.txt"]
    assert sources(load(tmp_path, [".e", "b/.d.md"])[0]) == [".e/f.txt", "b/.d.md"]


def test_file_that_two_paths_name_is_read_once(tmp_path: Path) -> None:
    write(tmp_path, {"b/c.md": "二"})
    paths = ["b", "b/c.md", "b/../b/*.md", str(tmp_path / "b")]
    documents, dropped = load(tmp_path, paths)
    assert sources(documents) == ["b/c.md"]
    assert not dropped


def test_source_outside_of_the_root_is_absolute(tmp_path: Path) -> None:
    write(tmp_path, {"study/a.txt": "一", "shared/b.txt": "二"})
    documents, _ = load(tmp_path / "study", [".", "../shared"])
    assert sources(documents) == [(tmp_path / "shared/b.txt").as_posix(), "a.txt"]


def test_order_of_the_paths_changes_nothing(tmp_path: Path) -> None:
    table = "名称\n" + "".join(f"第{n}号\n" for n in range(12))
    write(tmp_path, {"a.txt": "一", "b.txt": "二", "c.csv": table, "d.png": b"\x89PNG"})
    names = ["a.txt", "b.txt", "c.csv", "d.png", "gone.txt"]
    forward = list(load_documents(names, tmp_path))
    assert list(load_documents(names[::-1], tmp_path)) == forward
    rows = sources(load(tmp_path, ["c.csv"])[0])
    assert rows == [f"c.csv#{number}" for number in range(1, 13)]


def test_id_is_made_of_content_alone(tmp_path: Path) -> None:
    write(tmp_path, {"x/題.txt": "文\r\n", "y/題.txt": "文\n\n"})
    (first,) = load(tmp_path, ["x"])[0]
    (second,) = load(tmp_path, ["y"])[0]
    assert first.id == second.id == content_id("題", "文")


def test_whom_to_name_is_carried_along_and_changes_no_id(tmp_path: Path) -> None:
    write(tmp_path, {"x/題.md": "---\nauthor: 山田\u0007花子\n---\n文", "y/題.md": "文"})
    (named,), _ = load(tmp_path, ["x"])
    (unnamed,), _ = load(tmp_path, ["y"])
    assert (named.attribution, unnamed.attribution) == ("山田花子", "")
    assert named.id == unnamed.id


def test_the_authors_of_the_abstracts_that_ship_are_named() -> None:
    recipe = BUILTIN / "academic-qa"
    columns = Columns(text=("text",), title="title", source="url", licence="licence", date="year")
    documents, _ = load(recipe, ["abstracts.jsonl"], columns)
    assert len(documents) == 24
    for document in documents:
        assert document.licence == "CC BY 4.0"
        assert document.attribution


def test_row_that_names_its_source_bears_it(tmp_path: Path) -> None:
    write(tmp_path, {"a.jsonl": '{"text": "一", "url": "https://example.org/1"}\n{"text": "二"}\n'})
    columns = Columns(text=("text",), source="url")
    assert sources(load(tmp_path, columns=columns)[0]) == ["a.jsonl#2", "https://example.org/1"]


def test_every_format_is_read_under_its_name(tmp_path: Path) -> None:
    article = "<article><front><article-meta><title-group><article-title>題</article-title>"
    article += "</title-group></article-meta></front></article>"
    write(
        tmp_path,
        {
            **{
                "a.txt": "一",
                "b.MD": "二",
                "c.htm": "<p>三</p>",
                "d.csv": "列\n四\n",
                "e.tsv": "列\t六\n五\t\n",
            },
            **{"f.json": '{"文": "七"}', "g.jsonl": '{"文": "八"}\n', "h.nxml": article},
        },
    )
    documents, dropped = load(tmp_path)
    formats = ["txt", "md", "html", "csv", "tsv", "json", "jsonl", "jats"]
    assert [document.format for document in documents] == formats
    assert not dropped


def test_everything_bad_is_named_with_what_to_do_and_the_rest_goes_on(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "good.txt": "よい文書。",
            "copy/good.txt": "よい文書。",
            "blank.txt": " \n\n",
            "empty.csv": "名称,値\n",
            "picture.png": b"\x89PNG",
            "binary.txt": bytes(range(256)),
            "broken.json": "{",
            "broken.pdf": "rubbish",
            "broken.docx": "rubbish",
            "feed.xml": "<feed/>",
            "lines.jsonl": '{"text": "一行目"}\n{"text"\n{"text": ""}\n',
            "other.csv": "名称,値\nA,1\n",
        },
    )
    (tmp_path / "link.txt").symlink_to(tmp_path / "nowhere")
    documents, dropped = load(tmp_path, [".", "gone/*.txt"], Columns(text=("text",)))
    assert sources(documents) == ["copy/good.txt", "lines.jsonl#1"]
    reasons = {item.evidence.split(": ")[0]: item.reason for item in dropped}
    assert reasons == {
        "good.txt": "duplicate_document",
        "blank.txt": "empty",
        "empty.csv": "no_such_column",
        "picture.png": "unsupported_format",
        "binary.txt": "undecodable",
        "broken.json": "broken_file",
        "broken.pdf": "broken_file",
        "broken.docx": "broken_file",
        "feed.xml": "unknown_xml",
        "lines.jsonl#2": "bad_row",
        "lines.jsonl#3": "empty",
        "other.csv": "no_such_column",
        "link.txt": "unreadable",
        "gone/*.txt": "path_not_found",
    }
    for item in dropped:
        source = item.evidence.split(": ")[0]
        assert (item.kind, item.stage, item.record_id) == (
            "Document",
            "documents",
            content_id(source),
        )


def test_every_row_is_kept_or_dropped(tmp_path: Path) -> None:
    write(tmp_path, {"a.csv": "名称,文\nA,一\nA,一\nB,\n", "b.jsonl": '{"文": "二"}\n[]\n'})
    documents, dropped = load(tmp_path, columns=Columns(text=("文",)))
    assert len(documents) + len(dropped) == 5
    assert Counter(item.reason for item in dropped) == {
        "duplicate_document": 1,
        "empty": 1,
        "bad_row": 1,
    }


def test_files_of_the_same_text_are_duplicates_whatever_they_are_called(tmp_path: Path) -> None:
    write(tmp_path, {"b/題.txt": "文", "a/題.txt": "文", "c/別.txt": "文", "d.md": "文"})
    documents, dropped = load(tmp_path)
    assert sources(documents) == ["a/題.txt"]
    told = {item.evidence.split(": ")[0]: item.evidence for item in dropped}
    assert sorted(told) == ["b/題.txt", "c/別.txt", "d.md"]
    assert "same title and text as a/題.txt" in told["b/題.txt"]
    assert "the same text as a/題.txt" in told["c/別.txt"]
    assert '"b/題.txt"' in dropped[0].record


def test_rows_of_the_same_text_and_another_title_are_kept(tmp_path: Path) -> None:
    write(tmp_path, {"a.csv": "名称,説明\n東公園,無料\n西公園,無料\n東公園,無料\n"})
    documents, (dropped,) = load(tmp_path, columns=Columns(text=("説明",)))
    assert [document.title for document in documents] == ["東公園", "西公園"]
    assert "same title and text as a.csv#1" in dropped.evidence


def test_a_glance_tells_columns_and_what_cannot_be_read(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "a.csv": "ID,名称,text\n1,東公園,文\n",
            "b.csv": "ID,名称\n1,西公園\n",
            "c.jsonl": '{"text": "文", "meta": {"年": 1}}\n[]\n',
            "d.json": "{",
            "e.csv": "",
            "f.xyz": "文",
            "g.pdf": b"%PDF-1.4 broken",
            "h.md": "文",
            "i.csv": "ID,名称\n",
        },
    )
    found = glance(["."], tmp_path, Columns())
    assert found.files == 9
    assert found.columns == {
        "a.csv": ["ID", "名称", "text"],
        "b.csv": ["ID", "名称"],
        "c.jsonl": ["text", "meta.年"],
    }
    reasons = {name: error.reason for name, error in found.unreadable.items()}
    assert reasons == {
        "d.json": "broken_file",
        "e.csv": "empty",
        "f.xyz": "unsupported_format",
        "g.pdf": "broken_file",
        "i.csv": "empty",
    }
    tables = glance(["."], tmp_path, Columns(), opens_pdf=False)
    assert tables.columns == found.columns
    assert "g.pdf" not in tables.unreadable
    named = glance(["."], tmp_path, Columns(text=("text",)))
    assert named.columns == {"a.csv": ["text"], "c.jsonl": ["text"]}
    assert named.unreadable["b.csv"].reason == "no_such_column"
    _, dropped = load(tmp_path, columns=Columns(text=("text",)))
    told = {item.evidence.split(": ")[0] for item in dropped}
    assert set(named.unreadable) <= told  # what a glance refuses, the run does not read either


@pytest.mark.parametrize("lone", ["\\ud800", "\\udfff"])
def test_text_can_always_be_written(tmp_path: Path, lone: str) -> None:
    write(tmp_path, {"a.json": f'{{"文": "あ{lone}い"}}'})
    (document,) = load(tmp_path)[0]
    assert document.text == "文: あ\ufffdい"


def test_hashes_of_inputs_follow_their_bytes(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "一", "b/c.png": b"\x89PNG"})
    (tmp_path / "link.txt").symlink_to(tmp_path / "nowhere")
    before = hash_inputs(["."], tmp_path)
    assert list(before) == ["a.txt", "b/c.png", "link.txt"]
    assert before["link.txt"] == "unreadable"
    write(tmp_path, {"a.txt": "二"})
    after = hash_inputs([".", "a.txt"], tmp_path)
    assert {name for name in after if after[name] != before[name]} == {"a.txt"}


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    write(tmp_path, {"docs/a.txt": "一", "docs/z/b.txt": "二", "shared/c.txt": "三"})
    (tmp_path / "docs/link").symlink_to("../shared")
    (tmp_path / "docs/first").symlink_to("z")
    (tmp_path / "docs/z/up").symlink_to("..")
    (tmp_path / "shared/back").symlink_to("../docs")
    for paths in (["docs"], ["docs/**"], ["docs/**/*.txt"]):
        documents, dropped = load(tmp_path, paths)
        assert sources(documents) == ["docs/a.txt", "docs/link/c.txt", "docs/z/b.txt"]
        assert not dropped


@pytest.mark.parametrize("extension", ["", ".資料", ".txt"])
def test_names_from_zip_files_of_windows_can_be_read(tmp_path: Path, extension: str) -> None:
    path = os.fsencode(tmp_path) + b"/" + f"資料{extension}".encode("cp932")
    with open(path, "wb") as file:  # noqa: PTH123
        file.write("文".encode())
    (item,) = load_documents(["."], tmp_path)
    if isinstance(item, Document):
        assert (item.source, item.title) == ("資料.txt", "資料")
    else:
        assert item.evidence.startswith(f"資料{extension}: ")
        json.dumps([item.evidence, item.record], ensure_ascii=False).encode()


def test_the_name_of_a_file_is_in_the_id_where_it_is_no_title(tmp_path: Path) -> None:
    write(tmp_path, {"001.txt": "ある文。", "002.txt": "別の文。", "船.txt": "船の文。"})
    documents, _ = load(tmp_path)
    assert [document.title for document in documents] == ["", "", "船"]
    assert [document.id for document in documents] == [
        content_id(name, text)
        for name, text in (("001", "ある文。"), ("002", "別の文。"), ("船", "船の文。"))
    ]


def test_evidence_that_quotes_a_broken_key_can_be_written(tmp_path: Path) -> None:
    write(tmp_path, {"a.json": '[{"\\ud800": "一"}]'})
    _, (dropped,) = load(tmp_path, columns=Columns(text=("文",)))
    dropped.evidence.encode()
