"""Titles: the grid's own, else the catalogue's, and never one title for two labels."""

from __future__ import annotations

from orchestrator.titles import Titles, choose_titles


def test_catalogue_names_get_titles_and_aliases_stay():
    titles = choose_titles(
        datasets=["kvasir-seg", "my-data"],
        models=["unet", "colonsegnet", "small"],
        losses=["iou+focal", "bce", "focal-2"],
    )
    assert titles.datasets == {"kvasir-seg": "Kvasir-SEG"}
    assert titles.models == {"unet": "U-Net", "colonsegnet": "ColonSegNet"}
    assert titles.losses == {"iou+focal": "IoUFocal", "bce": "BCE"}
    assert titles.of("loss", "focal-2") == "focal-2"
    assert titles.of("model", "unet") == "U-Net"


def test_titles_of_the_grid_document_come_first():
    document = {"models": [{"label": "unet", "title": "U-Net (64)"}, {"label": "x", "title": ""}]}
    titles = choose_titles(datasets=[], models=["unet", "x"], losses=[], document=document)
    assert titles == Titles(models={"unet": "U-Net (64)"})


def test_labels_that_would_share_a_title_keep_their_own():
    titles = choose_titles(datasets=[], models=["unet", "U-Net"], losses=["iou+iou", "IoU", "iou"])
    assert titles.models == {}
    assert titles.losses == {}


def test_a_metric_has_a_title_and_a_user_column_stays():
    assert Titles().of("metric", "iou_pooled") == "IoU, pooled"
    assert Titles().of("metric", "f2") == "f2"
