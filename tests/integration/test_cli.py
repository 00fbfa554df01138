"""The command line as a user sees it: output, exit codes, imports and start time."""

import json
import re
import resource
import subprocess
import sys
from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.cli.shared import print_table
from tests.conftest import ROOT
from tests.integration.sweeps import write_config

PAPER = ROOT / "tests" / "data" / "paper"
STUDIED = [
    "fcn", "deeplabv3plus", "unet", "unetpp", "colonsegnet", "fat-net",
    "fcbformer", "colonformer", "caranet", "esfpnet", "duck-net", "emcad",
]  # fmt: skip


def podium(*arguments, cwd=ROOT):
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *map(str, arguments)],
        cwd=cwd, capture_output=True, text=True, check=False,
    )  # fmt: skip


def as_json(*arguments):
    done = podium(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_help_loads_neither_torch_nor_ray():
    code = (
        "import sys; sys.argv = ['podium', '--help']\n"
        "from orchestrator.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'ray', 'pyarrow', 'duckdb', 'pandas', 'matplotlib', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_takes_under_half_a_second_of_processor_time():
    def cpu_seconds(*command):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *command], capture_output=True, check=True, cwd=ROOT)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    cpu_seconds("-m", "orchestrator", "--help")  # compiles the remaining modules
    bare = min(cpu_seconds("-c", "pass") for _ in range(3))
    ours = min(cpu_seconds("-m", "orchestrator", "--help") for _ in range(3))
    assert ours - bare < 0.5


def test_every_command_has_help():
    import typer

    group = typer.main.get_command(app)
    commands = getattr(group, "commands")  # noqa: B009 - the type in typer lacks it
    assert set(commands) == {
        "run", "plan", "status", "compact", "rank", "report", "list", "data",
        "query", "compare", "figures", "watch", "failures", "submit", "verify", "tune",
        "new", "check", "predict",
    }  # fmt: skip
    for name in commands:
        shown = CliRunner().invoke(app, [name, "-h"])
        assert shown.exit_code == 0
        assert shown.output == CliRunner().invoke(app, [name, "--help"]).output
    assert CliRunner().invoke(app, ["list", "models", "-h"]).exit_code == 0


def test_version_is_that_of_the_package():
    assert CliRunner().invoke(app, ["--version"]).output == f"podium {version('podium-sweep')}\n"


def test_bash_completes_commands_and_values():
    def completed(words):
        environment = {
            "_PODIUM_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        }
        return CliRunner().invoke(app, [], prog_name="podium", env=environment).output.split()

    assert completed("podium ra") == ["rank"]
    assert completed("podium rank results --ties ma") == ["max"]
    assert "--show-completion" in CliRunner().invoke(app, ["--help"]).output


@pytest.mark.parametrize(
    ("columns", "width"), [("150", 150), ("60", 60), ("wide", 100), (None, 100)]
)
def test_table_in_a_pipe_is_as_wide_as_columns(columns, width, monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    print_table(["name", "text"], [("a", "word " * 60)])
    assert {len(line) for line in capsys.readouterr().out.splitlines()} <= {width, width - 1}


@pytest.mark.parametrize(
    "command", [["rank", "x.csv"], ["figures", "x.csv"], ["compare", "x", "x"]]
)
def test_two_directions_of_a_metric_are_refused(command):
    done = CliRunner().invoke(app, [*command, "--lower-is-better", "--higher-is-better"])
    assert str(done.exception) == "--lower-is-better and --higher-is-better: give one of them"


def test_models_are_listed_with_sizes_and_citations():
    models = {entry["name"]: entry for entry in as_json("list", "models")}
    assert list(models)[:12] == STUDIED
    assert models["duck-net"]["parameters"] == 38_867_668
    assert models["unet"]["parameters"] == 31_037_633
    assert models["unetpp"]["gmacs_224"] == pytest.approx(26.41)
    assert all(entry["citation"] for entry in models.values())


def test_losses_and_datasets_are_listed():
    assert len(as_json("list", "losses")) == 38
    names = [entry["name"] for entry in as_json("data", "list")]
    assert names[:2] == ["isic-2017", "wound"]
    assert "Any other sum" in podium("list", "losses").stdout


@pytest.mark.parametrize("axis", ["dataset", "model"])
def test_published_points_are_reproduced(axis):
    table = PAPER / f"fig2_dice_by_{axis}.csv"
    published = [
        line.split(",")
        for line in (PAPER / f"fig2_score_by_{axis}.csv").read_text().splitlines()[1:]
    ]
    found = as_json("rank", table, "--ties", "order")[f"by_{axis}"]["points"]
    assert found == {loss: int(points) for loss, points in published}


def test_split_ties_change_the_leader():
    points = as_json("rank", PAPER / "fig2_dice_by_dataset.csv")["by_dataset"]["points"]
    assert max(points, key=points.get) == "BCE"
    assert (points["BCE"], points["IoUFocal"]) == (8, 7)


def test_published_grid_of_twelve_models_is_planned(tmp_path):
    paper = ROOT / "configs" / "paper.yaml"
    plan = as_json("plan", paper, "--elsewhere", "--set", f"results={tmp_path}")
    assert plan["actions"] == {"RUN": 3600, "SKIP": 0, "RETRY": 0}
    assert not [note for note in plan["notes"] if "refused" in note]


def test_plan_counts_the_trials_and_starts_no_training(tmp_path):
    config = write_config(tmp_path)
    plan = as_json("plan", config)
    assert plan["actions"] == {"RUN": 4, "SKIP": 0, "RETRY": 0}
    assert plan["expected_wall_seconds"] > 0
    assert not (tmp_path / "results").exists()
    assert "4 trials" in podium("plan", config).stdout


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_run_status_rank_report_and_compact_work_in_turn(tmp_path):
    config = write_config(tmp_path)
    results = tmp_path / "results"
    done = podium("run", config, "--engine", "inline", "--progress", "json")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events].count("trial_finished") == 4
    status = as_json("status", results)
    assert (status["completed"], status["pending"]) == (4, 0)
    assert status == as_json("status", config)
    ranking = as_json("rank", results)
    assert set(ranking["by_dataset"]["points"]) == {"dice", "bce"}
    assert ranking["by_model"]["coverage"]["present"] == 4
    report = podium("report", results)
    assert str(results / "report" / "index.html") in report.stdout
    assert (results / "report" / "figures" / "podium.svg").exists()
    assert {table["num_files_after"] for table in as_json("compact", results)["tables"]} <= {0, 1}
    again = podium("run", config, "--engine", "inline")
    assert "4 of 4 trials have a result" in again.stdout


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_failed_trial_gives_exit_code_1_and_the_retry_hint(tmp_path):
    unknown = {"name": "unet", "alias": "broken", "parameters": {"encoder": "tu-doesnotexist"}}
    healthy = {"name": "unet", "alias": "unet-4", "parameters": {"width": 4}}
    config = write_config(tmp_path, models=[healthy, unknown], repeats=1, losses=["dice"])
    hint = "1 trial failed by bug and will not be run again by default: fix the cause, "
    hint += "then add --retry bug to podium run"
    for _ in range(2):
        done = podium("run", config, "--engine", "inline")
        assert done.returncode == 1
        assert "1 of 2 trials have a result" in done.stdout
        assert hint in done.stdout
    status = as_json("status", tmp_path / "results")
    assert "timm has no network" in status["failures"]["bug"]["example_message"]
    assert hint in podium("status", tmp_path / "results").stdout
    assert hint in podium("failures", tmp_path / "results").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "absent.yaml"], r"absent\.yaml: no such file"),
        (["plan", "configs/quickstart.yaml", "--set", "training.max_epoch=2"], "'max_epochs'"),
        (["plan", "configs/quickstart.yaml", "--set", "losses=[dicee]"], "did you mean 'dice'"),
        (["rank", "tests"], "no results here"),
        (["rank", "absent.csv"], r"absent\.csv"),
        (["status", "tests"], "no sweep was started here"),
        (["compact", "tests"], "no results here"),
        (["data", "verify", "tests"], "no dataset found"),
        (["verify", "tests/typo"], "typo: no results here"),
        (["run", "configs/paper.yaml", "--set", "data.root=absent"], "isic-2017: not found"),
    ],
)
def test_user_error_is_one_message_and_exit_code_2(arguments, message):
    done = podium(*arguments)
    assert done.returncode == 2
    assert re.search(message, done.stderr)
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
