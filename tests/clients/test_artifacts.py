"""Files of runs, up and down."""

import hashlib
import json
import os

import matplotlib
import mlflow
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from mlflow.exceptions import MlflowException
from PIL import Image


@pytest.fixture
def run_id(client, experiment):
    """An active run."""
    with mlflow.start_run() as run:
        yield run.info.run_id


def tree(client, run_id, path=None):
    """Every file below a path with its size."""
    found = {}
    for entry in client.list_artifacts(run_id, path):
        if entry.is_dir:
            found.update(tree(client, run_id, entry.path))
        else:
            found[entry.path] = entry.file_size or 0  # MLflow gives empty files no size.
    return found


def download(run_id, path, tmp_path):
    return mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=path, dst_path=str(tmp_path / "down"))


def test_files_and_folders_go_up_and_come_down_equal(client, run_id, tmp_path):
    source = tmp_path / "source"
    contents = {
        "readme.md": b"# Read me\n",
        "empty": b"",
        "deep/er/data.bin": os.urandom(300_000),
        "deep/noise": bytes(range(256)),
    }
    for path, content in contents.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(content)
    mlflow.log_artifact(source / "readme.md")
    mlflow.log_artifact(source / "readme.md", "docs")
    mlflow.log_artifacts(source, "all")
    expected = {"readme.md": 10, "docs/readme.md": 10}
    expected.update({f"all/{path}": len(content) for path, content in contents.items()})
    assert tree(client, run_id) == expected
    assert [entry.path for entry in client.list_artifacts(run_id)] == ["all", "docs", "readme.md"]
    folder = download(run_id, "all", tmp_path)
    for path, content in contents.items():
        with open(os.path.join(folder, path), "rb") as file:
            assert file.read() == content, path


def test_large_file_is_equal(client, run_id, tmp_path):
    block = os.urandom(1 << 20)
    digest = hashlib.sha256()
    with open(tmp_path / "large.bin", "wb") as file:
        for index in range(40):
            piece = index.to_bytes(4, "big") + block
            digest.update(piece)
            file.write(piece)
    mlflow.log_artifact(tmp_path / "large.bin")
    assert tree(client, run_id) == {"large.bin": 40 * ((1 << 20) + 4)}
    with open(download(run_id, "large.bin", tmp_path), "rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == digest.hexdigest()


def test_file_is_replaced_by_a_later_one(client, run_id):
    mlflow.log_text("first, and longer", "note.txt")
    mlflow.log_text("second", "note.txt")
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/note.txt") == "second"


@pytest.mark.parametrize(
    "file_name",
    ["with space.txt", "ä漢字🙂.txt", "100%.txt", "a+b&c=d;e.txt", "-dash", "~tilde", ".hidden", "a,b'c(d)", "x" * 200],
)
def test_odd_file_names_are_kept(client, run_id, tmp_path, file_name):
    (tmp_path / file_name).write_text(file_name)
    mlflow.log_artifact(tmp_path / file_name, "odd names")
    assert tree(client, run_id) == {f"odd names/{file_name}": len(file_name.encode())}
    with open(download(run_id, f"odd names/{file_name}", tmp_path), encoding="utf-8") as file:
        assert file.read() == file_name


def test_text_dictionaries_and_html(client, run_id):
    mlflow.log_text("ä\nb\n", "texts/note.txt")
    mlflow.log_text("<h1>Hi</h1>", "texts/page.html")
    mlflow.log_dict({"a": [1, 2.5, None], "ä": True}, "config.json")
    mlflow.log_dict({"a": {"b": "c"}}, "config.yaml")
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/texts/note.txt") == "ä\nb\n"
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/texts/page.html") == "<h1>Hi</h1>"
    assert mlflow.artifacts.load_dict(f"runs:/{run_id}/config.json") == {"a": [1, 2.5, None], "ä": True}
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/config.yaml") == "a:\n  b: c\n"


def test_figures_and_images(client, run_id, tmp_path):
    matplotlib.use("Agg")
    figure, axes = plt.subplots()
    axes.plot([1, 4, 9])
    mlflow.log_figure(figure, "plots/line.png")
    mlflow.log_figure(figure, "plots/line.svg")
    plt.close(figure)
    pixels = np.arange(30 * 20 * 3, dtype=np.uint8).reshape(20, 30, 3)
    mlflow.log_image(pixels, "pixels.png")
    mlflow.log_image(Image.fromarray(pixels), "pillow.png")
    with Image.open(download(run_id, "plots/line.png", tmp_path)) as image:
        assert image.format == "PNG" and image.size == (640, 480)
    assert mlflow.artifacts.load_image(f"runs:/{run_id}/pixels.png").size == (30, 20)
    assert np.array_equal(np.asarray(mlflow.artifacts.load_image(f"runs:/{run_id}/pillow.png")), pixels)
    assert "<svg" in mlflow.artifacts.load_text(f"runs:/{run_id}/plots/line.svg")


def test_images_by_step(client, run_id):
    for step in range(3):
        mlflow.log_image(np.full((8, 8, 3), step * 40, dtype=np.uint8), key="sample", step=step)
    mlflow.flush_artifact_async_logging()
    paths = tree(client, run_id)
    assert len([path for path in paths if path.startswith("images/sample") and path.endswith(".png")]) == 3
    assert client.get_run(run_id).data.tags["mlflow.loggedImages"] == "True"


def test_tables_grow_and_are_loaded(client, run_id):
    mlflow.log_table({"question": ["a", "b"], "score": [1, 2.5]}, "table.json")
    mlflow.log_table(pd.DataFrame({"question": ["c"], "score": [3.0]}), "table.json")
    table = mlflow.load_table("table.json", run_ids=[run_id], extra_columns=["run_id"])
    assert list(table["question"]) == ["a", "b", "c"]
    assert list(table["score"]) == [1, 2.5, 3.0]
    assert set(table["run_id"]) == {run_id}
    logged = json.loads(client.get_run(run_id).data.tags["mlflow.loggedArtifacts"])
    assert logged == [{"path": "table.json", "type": "table"}]


def test_missing_artifact_is_said_to_be_missing(client, run_id, tmp_path):
    assert client.list_artifacts(run_id) == []
    assert client.list_artifacts(run_id, "nothing/here") == []
    with pytest.raises(MlflowException) as caught:
        download(run_id, "nothing/here.txt", tmp_path)
    assert "here.txt" in str(caught.value)


def test_listing_a_file_tells_it_from_a_folder(client, run_id):
    mlflow.log_text("x", "folder/file.txt")
    assert client.list_artifacts(run_id, "folder/file.txt") == []
    (only,) = client.list_artifacts(run_id, "folder")
    assert (only.path, only.is_dir, only.file_size) == ("folder/file.txt", False, 1)


def test_deleted_artifacts_are_gone(client, run_id):
    mlflow.log_text("x", "keep.txt")
    mlflow.log_text("x", "drop/file.txt")
    repository = mlflow.artifacts.get_artifact_repository(mlflow.get_run(run_id).info.artifact_uri)
    repository.delete_artifacts("drop")
    assert tree(client, run_id) == {"keep.txt": 1}
