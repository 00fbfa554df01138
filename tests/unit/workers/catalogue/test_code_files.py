"""Losses and models in users' files: names by content, imports without a clash, refusals."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.conftest import ROOT
from workers.catalogue.code_files import digest_in, read_code, short_name
from workers.catalogue.losses import LOSSES, complete_loss, search_space, value_of, with_values
from workers.catalogue.models import MODELS, complete_model
from workers.contract import (
    CodeFile,
    Component,
    DataProtocol,
    Runtime,
    SpecificationError,
    TrainingProtocol,
    TrialSpec,
    UserError,
)
from workers.losses import build_loss
from workers.models import build_model
from workers.run import run_trial

CODE = (ROOT / "tests" / "data" / "own_file.txt").read_text(encoding="utf-8")
LOGITS, TRUTH = torch.zeros(1, 1, 1, 2), torch.tensor([[[1, 0]]])


@pytest.fixture(autouse=True)
def no_leftovers():
    """Removes the modules that a test imports."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def code(*changes: tuple[str, str], path: str = "/home/ada/tilted.py") -> CodeFile:
    source = CODE
    for old, new in changes:
        assert old in source
        source = source.replace(old, new)
    return CodeFile(path=path, source=source)


def test_name_is_that_in_the_file_with_a_digest_of_its_content():
    file = code()
    name = LOSSES.add_file(file)["tilted"]
    assert name == f"tilted@{file.digest}"
    assert (short_name(f"bce+{name}"), digest_in(f"bce+{name}")) == ("bce+tilted", file.digest)
    assert digest_in("bce+dice") is None
    assert MODELS.add_file(file) == {"shallow": f"shallow@{file.digest}"}
    assert "tilted" not in LOSSES
    assert name in LOSSES
    assert name not in list(LOSSES)
    assert LOSSES.origin(name) is None


def test_two_versions_of_one_file_have_their_own_code():
    new = code(("(weight_BCHW *", "10 * (weight_BCHW *"))
    first, second = (LOSSES.add_file(file)["tilted"] for file in (code(), new))
    assert first != second
    # Squares of 0.25 with weights 2 and 1.
    assert build_loss(first)(LOGITS, TRUTH).item() == pytest.approx(0.375)
    assert build_loss(second)(LOGITS, TRUTH).item() == pytest.approx(3.75)
    assert build_loss(first)(LOGITS, TRUTH).item() == pytest.approx(0.375)


def test_file_is_imported_once_per_content(tmp_path, capsys):
    source = f"print('imported')\n{CODE}"
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(source, encoding="utf-8")
        LOSSES.add_file(tmp_path / name)
    MODELS.add_file(tmp_path / "a.py")
    printed = capsys.readouterr()
    assert printed.err.count("imported") == 1
    assert printed.out == ""  # it may be JSON


def test_line_ends_do_not_change_the_digest(tmp_path):
    (tmp_path / "a.py").write_bytes(CODE.encode())
    (tmp_path / "b.py").write_bytes(b"\xef\xbb\xbf" + CODE.replace("\n", "\r\n").encode())
    assert read_code(tmp_path / "a.py").digest == read_code(tmp_path / "b.py").digest


def test_model_of_a_file_is_built_with_its_options():
    name = MODELS.add_file(code())["shallow"]
    network = build_model(name, width=2)
    assert network(torch.zeros(1, 3, 32, 32)).logits_BCHW.shape == (1, 1, 32, 32)
    assert complete_model(name, {}) == (name, {"width": 4})


def test_sum_keeps_the_short_name_in_its_parameters():
    name = LOSSES.add_file(code())["tilted"]
    written, parameters = complete_loss(f"{name}+bce", {"weights": [3, 1], "tilted": {"miss": 1}})
    assert written == f"bce+{name}"
    assert parameters == {"weights": [1.0, 3.0], "bce": {}, "tilted": {"miss": 1.0}}
    value = build_loss(written, **parameters)(LOGITS, TRUTH)
    assert value.item() == pytest.approx(0.693147 + 3 * 0.25)
    assert set(search_space(written)) == {"weights.tilted", "tilted.miss", "learning_rate"}
    changed = with_values(written, parameters, {"weights.tilted": 5.0, "tilted.miss": 7.0})
    assert [value_of(written, changed, key) for key in ("weights.tilted", "tilted.miss")] == [5, 7]


def test_trial_trains_with_code_that_is_on_no_disk(tmp_path):
    file = code()
    spec = TrialSpec(
        dataset=Component(name="synthetic-skin", parameters={"num_images": 15}),
        model=Component(name=f"shallow@{file.digest}"),
        loss=Component(name=f"tilted@{file.digest}"),
        repeat=0, seed=1, data=DataProtocol(image_size=32),
        training=TrainingProtocol(max_epochs=1, patience=1),
    )  # fmt: skip
    checkpoints = SimpleNamespace(load=lambda: None, save=lambda state: None)
    runtime = Runtime(data_root=None, cache_dir=str(tmp_path), code=(file,))
    result = run_trial(spec, runtime, checkpoints, lambda record: None)
    assert result.status == "completed"
    assert not [key for key in result.versions if "podium_file" in key]


FUNCTION = CODE.splitlines().index("def squared(logits_BCHW, truth_BCHW, *, miss):") + 1
ENTRY = next(n for n, line in enumerate(CODE.splitlines(), 1) if 'name="tilted"' in line)
MODEL = next(n for n, line in enumerate(CODE.splitlines(), 1) if 'name="shallow"' in line)
MEAN = next(n for n, line in enumerate(CODE.splitlines(), 1) if ".square()" in line)


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("def squared(", "def squared((", FUNCTION, "SyntaxError: "),
        ("from torch import nn", "import nowhere_at_all", 4, "No module named .*; the file c"),
        ("from torch import nn", "from torch import nn; raise SystemExit(3)", 4, "SystemExit: 3"),
        ("from torch import nn", "from torch import nn; 1 / 0", 4, "ZeroDivisionError: division"),
        (":squared", ":squarred", ENTRY, "no function 'squarred'; did you mean 'squared'"),
        (", *, miss):", "):", FUNCTION, r"must accept the call squared\(log.*miss\)"),
        (", truth_BCHW, *", ", *", FUNCTION, "too many positional arguments"),
        ("default=2.0, ", "", ENTRY, "option 'miss' needs a valid default: a value is missing"),
        ("default=2.0, ", "default='a', ", ENTRY, "option 'miss' needs a valid default: "),
        ('"miss": R', '"mis": R', ENTRY, "space has an unknown option; did you mean 'miss'"),
        ('"miss": R', '"miss": None or 3 or R', ENTRY, "space={'miss': 3} must be of type Space"),
        ('title="Tilted"', "title=None", ENTRY, "title=None must be of type str"),
        ("options=TiltedOptions", "options=dict", ENTRY, r"must be of type type\[Options\]"),
        ('name="tilted"', 'name="dice"', FUNCTION, "Podium .* already has an entry 'dice'; rename"),
        ('name="tilted"', 'name="tilted+"', ENTRY, "must begin with a letter or digit"),
        ('f"{__name__}:squared"', '"torch:square"', ENTRY, "is no function of this file"),
        (
            'kind="distribution"',
            'kind="pixels"',
            ENTRY - 1,
            "unknown kind 'pixels'; known: region",
        ),
        (
            'citation="none", space',
            'citation="none", needs=("edges",), space',
            ENTRY - 1,
            "needs an unknown map 'edges'; known: signed_distance",
        ),
    ],
)  # fmt: skip
def test_wrong_file_is_refused_with_its_line(old, new, line, message):
    with pytest.raises(UserError, match=message) as caught:
        LOSSES.add_file(code((old, new)))
    assert str(caught.value).startswith(f"/home/ada/tilted.py:{line}: ")


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("parameters='x'", "parameters='x' must be of type int"),
        ("parameters=True", "parameters=True must be of type int"),
        ("gmacs_224=0", "gmacs_224=0 must be a finite number above 0"),
        ("gmacs_224=float('nan')", "gmacs_224=nan must be a finite number above 0"),
        ("variants=[]", r"variants=\[\] must be of type tuple\[Variant, ...\]"),
        ("weights=3", "weights=3 must be of type Callable.* | None"),
    ],
)
def test_wrong_field_of_a_model_is_refused(field, message):
    fields = "parameters=117, gmacs_224=0.006, "
    key = field.partition("=")[0]
    kept = ", ".join(one for one in fields.split(", ") if not one.startswith(key))
    file = code((fields, f"{kept}{field}, "))
    place = rf"^/home/ada/tilted.py:{MODEL}: entry 'shallow': "
    with pytest.raises(UserError, match=place + message):
        MODELS.add_file(file)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_error_that_is_not_of_the_file_is_raised_unchanged(error):
    stopping = code(("from torch import nn", f"from torch import nn; raise {error.__name__}"))
    for _ in range(2):  # the second import is not taken from the first, which did not end
        with pytest.raises(error):
            LOSSES.add_file(stopping)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"tilted.py: no such file; did you mean 'tilted2.py'"),
        (b"\xff\xfe", "tilted.py: is not UTF-8"),
        (b"#" * ((1 << 20) + 1), "tilted.py: is larger than 1 MiB"),
    ],
)
def test_unreadable_file_is_refused(tmp_path, content, message):
    (tmp_path / "tilted2.py").write_text(CODE, encoding="utf-8")
    if content is not None:
        (tmp_path / "tilted.py").write_bytes(content)
    with pytest.raises(UserError, match=message):
        LOSSES.add_file(tmp_path / "tilted.py")


def test_folder_and_absent_file_are_refused(tmp_path):
    with pytest.raises(UserError, match="is not a file; name a Python file"):
        read_code(tmp_path)
    with pytest.raises(UserError, match=r"no such file; .* has no .py file"):
        read_code(Path(tmp_path) / "a.py")


def test_file_without_entries_adds_nothing():
    source = "from workers.catalogue.losses import LOSSES\nA = LOSSES['iou']\n"
    empty = CodeFile(path="/home/ada/empty.py", source=source)
    assert LOSSES.add_file(empty) == MODELS.add_file(empty) == {}


def test_wrong_return_value_names_the_line_of_the_function():
    name = LOSSES.add_file(code((".square()).mean()", ".square())")))["tilted"]
    place = rf"loss 'tilted \(/home/ada/tilted.py:{FUNCTION}\)' returned a tensor of shape"
    with pytest.raises(SpecificationError, match=place):
        build_loss(name)(LOGITS, TRUTH)


def test_error_in_a_step_shows_its_line_and_source():
    file = code(("logits_BCHW.sigmoid()", "logits_BCHW.sigmod()"))
    loss = build_loss(LOSSES.add_file(file)["tilted"])
    with pytest.raises(AttributeError, match="sigmod") as caught:
        loss(LOGITS, TRUTH)
    assert file.line_of(caught.value) == MEAN
    assert "logits_BCHW.sigmod()" in "".join(traceback.format_exception(caught.value))
