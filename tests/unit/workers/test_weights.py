"""Files of weights: where they are looked for, what identifies them, one fetch a node."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from workers.catalogue.models import complete_model, weights_of
from workers.contract import Component, UserError
from workers.weights import content_id, given_files, require_weights, weight_files

CONTENT = b"weights of nothing"
SHA = hashlib.sha256(CONTENT).hexdigest()
FAT_NET = weights_of("fat-net", {})
(VGG16,) = weights_of("fcn", {})


def model(name: str, pretrained: object, label: str = "") -> Component:
    parameters = complete_model(name, {"pretrained": pretrained})[1]
    return Component(name=name, parameters=parameters, label=label)


def offline(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache of the hub, and an address where nothing listens."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")


def test_single_file_has_any_name_and_two_need_a_folder(tmp_path):
    file = tmp_path / "mine.pth"
    file.write_bytes(CONTENT)
    assert given_files((VGG16,), file) == (file,)
    with pytest.raises(UserError, match=r"is a file; this model needs a folder that holds resnet"):
        given_files(FAT_NET, file)
    names = ["resnet34.tv_in1k.pth", f"{FAT_NET[1].name}.safetensors"]
    (tmp_path / names[0]).write_bytes(CONTENT)
    with pytest.raises(UserError, match=r"holds no deit_tiny_distilled_patch16_224.fb_in1k.safet"):
        given_files(FAT_NET, tmp_path)
    (tmp_path / names[1]).write_bytes(b"other")
    assert [file.name for file in given_files(FAT_NET, tmp_path)] == names


def test_content_id_depends_only_on_content(tmp_path):
    one, two = tmp_path / "a.pth", tmp_path / "b.pt"
    one.write_bytes(CONTENT)
    two.write_bytes(CONTENT)
    assert content_id([one]) == content_id([two]) == f"sha256:{SHA}"
    assert (
        content_id([one, two]) == "sha256:" + hashlib.sha256(f"{SHA}\n{SHA}".encode()).hexdigest()
    )
    two.write_bytes(b"longer, so another file")
    assert content_id([two]) != content_id([one])


def test_missing_or_different_file_on_a_node_is_refused(tmp_path):
    asked = model("fcn", f"sha256:{SHA}", "fcn-own")
    with pytest.raises(UserError) as caught:
        weight_files(asked, str(tmp_path / "w.pth"), tmp_path)
    assert "model 'fcn-own'" in str(caught.value)
    assert f"{tmp_path}/w.pth: no such file or folder on this machine" in str(caught.value)
    assert "on every node" in str(caught.value)
    (tmp_path / "w.pth").write_bytes(b"something else")
    with pytest.raises(UserError, match="is not the file the trial was planned with"):
        weight_files(asked, str(tmp_path / "w.pth"), tmp_path)
    (tmp_path / "w.pth").write_bytes(CONTENT)
    assert weight_files(asked, str(tmp_path / "w.pth"), tmp_path) == ((VGG16, tmp_path / "w.pth"),)
    assert weight_files(Component(name="fcn"), None, tmp_path) == ()


def test_missing_weights_without_network_are_all_named(tmp_path, monkeypatch):
    offline(tmp_path, monkeypatch)
    models = [
        model("fat-net", True),
        model("fcn", True, "fcn-pre"),
        model("esfpnet", True),
        Component(name="caranet"),
        model("emcad", f"sha256:{SHA}"),
    ]
    kept = tmp_path / "weights" / "resnet34.tv_in1k.safetensors"
    kept.parent.mkdir()
    kept.write_bytes(CONTENT)
    with pytest.raises(UserError) as caught:
        require_weights(models, {"emcad": str(tmp_path / "gone.pth")}, tmp_path)
    text = str(caught.value)
    assert "model 'fat-net': deit_tiny_distilled_patch16_224.fb_in1k.safetensors" in text
    assert "model 'fcn-pre': vgg16.tv_in1k.safetensors (model.safetensors of timm/vgg16" in text
    assert "model 'esfpnet': mit_b4.imagenet.safetensors" in text
    assert "gone.pth: no such file" in text
    assert f"looked in {tmp_path / 'weights'}, then in {tmp_path / 'hub'}" in text
    assert "no connection to the Hugging Face hub" in text
    assert "{name: fat-net, parameters: {pretrained: PATH}}" in text
    assert "resnet34" not in text
    assert "caranet" not in text


def test_offline_hub_client_is_reported(tmp_path, monkeypatch):
    offline(tmp_path, monkeypatch)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="switched off by HF_HUB_OFFLINE"):
        require_weights([model("fcn", True)], {}, tmp_path)


class Hub(BaseHTTPRequestHandler):
    """A hub on loopback that holds one repository and counts what is taken from it."""

    taken: ClassVar[Counter[str]] = Counter()
    known = "/timm/vgg16.tv_in1k/resolve/main/model.safetensors"

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.taken[self.path] += 1
        self.answer(with_body=True)

    def answer(self, *, with_body: bool) -> None:
        found = self.path == self.known
        self.send_response(200 if found else 404)
        if found:
            self.send_header("ETag", f'"{SHA}"')
            self.send_header("X-Repo-Commit", "0" * 40)
        else:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", str(len(CONTENT) if found else 0))
        self.end_headers()
        if found and with_body:
            self.wfile.write(CONTENT)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def hub() -> Iterator[str]:
    Hub.taken = Counter()
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


FETCH = """
import sys
from pathlib import Path
from typing import ClassVar
from workers.catalogue.models import weights_of
from workers.weights import fetch
sys.stdin.readline()  # all begin together
print(fetch(weights_of("fcn", {})[0], Path(sys.argv[1])).read_bytes().decode())
"""


def test_processes_of_one_node_fetch_a_file_once(tmp_path, hub):
    environment = os.environ | {"HF_ENDPOINT": hub, "HF_HOME": str(tmp_path / "hf")}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", FETCH, str(tmp_path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )
        for _ in range(4)
    ]  # fmt: skip
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate()[0].strip() for process in processes]
    assert answers == [CONTENT.decode()] * 4
    assert Hub.taken[Hub.known] == 1
    folder = tmp_path / "weights"
    assert (folder / VGG16.file).read_bytes() == CONTENT
    assert not list(folder.glob(".*.tmp"))


def test_missing_repository_does_not_stop_other_downloads(tmp_path, hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub)
    monkeypatch.setattr("huggingface_hub.file_download.constants.ENDPOINT", hub)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
        hub + "/{repo_id}/resolve/{revision}/{filename}",
    )
    with pytest.raises(UserError) as caught:
        require_weights([model("esfpnet", True), model("fcn", True)], {}, tmp_path)
    assert "mit_b4.imagenet" in str(caught.value)
    assert "vgg16" not in str(caught.value)
    assert (tmp_path / "weights" / VGG16.file).read_bytes() == CONTENT
