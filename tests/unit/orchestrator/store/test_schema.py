from orchestrator.store import SCHEMA_VERSION, TABLES, VIEWS, describe_tables

COLUMNS_OF_VERSION_1 = {
    "trials": (
        "schema_version:int64 trial_id:string protocol_id:string dataset:string model:string "
        "loss:string dataset_name:string model_name:string loss_name:string repeat:int64 "
        "seed:int64 status:string dice:double? iou:double? recall:double? precision:double? "
        "dice_pooled:double? iou_pooled:double? recall_pooled:double? precision_pooled:double? "
        "best_epoch:int64? best_val_dice:double? num_epochs:int64 num_train_images:int64 "
        "num_val_images:int64 num_test_images:int64 train_seconds:double peak_memory_bytes:int64 "
        "image_size:int64 arithmetic:string deterministic:bool device:string host:string "
        "gpu_ids:string num_threads:int64 dataset_fingerprint:string code_version:string "
        "versions:string spec:string attempt:int64 message:string? "
        "committed_at:timestamp[us, tz=UTC]"
    ),
    "epochs": (
        "trial_id:string dataset:string model:string loss:string repeat:int64 epoch:int64 "
        "train_loss:double val_dice:double val_iou:double seconds:double"
    ),
    "images": (
        "trial_id:string dataset:string model:string loss:string repeat:int64 image:string "
        "tp:int64 fp:int64 fn:int64 tn:int64"
    ),
    "predictions": (
        "trial_id:string dataset:string model:string loss:string repeat:int64 image:string "
        "image_jpeg:binary truth_png:binary logits_png:binary logit_min:double logit_max:double"
    ),
    "failures": (
        "trial_id:string protocol_id:string dataset:string model:string loss:string repeat:int64 "
        "attempt:int64 failure_class:string message:string traceback:string host:string "
        "spec:string failed_at:timestamp[us, tz=UTC]"
    ),
}
"""What files of version 1 hold. Never edit: a later version adds nullable columns, no more."""


def declared(table: str) -> list[str]:
    fields = TABLES[table].arrow_schema
    return [f"{field.name}:{field.type}{'?' if field.nullable else ''}" for field in fields]


def test_columns_of_version_1_are_unchanged():
    assert set(COLUMNS_OF_VERSION_1) <= set(TABLES)
    for table, columns in COLUMNS_OF_VERSION_1.items():
        known = declared(table)
        first = columns.replace(", tz", ",tz").split(" ")
        first = [column.replace(",tz", ", tz") for column in first]
        assert [column for column in known if column in first] == first
        added = [column for column in known if column not in first]
        assert all(column.endswith("?") for column in added)
        assert not added or SCHEMA_VERSION > 1


def test_every_column_has_a_description():
    for table in VIEWS.values():
        names = table.column_names
        assert len(set(names)) == len(names)
        assert set(table.key) <= set(table.order) <= set(names)
        for column, field in zip(table.columns, table.arrow_schema, strict=True):
            assert field.metadata[b"description"].decode() == column.description != ""
            assert field.metadata[b"unit"].decode() == column.unit


def test_the_documentation_lists_every_column_once():
    text = describe_tables()
    assert text.startswith("## trials\n\nOne row per finished trial; ")
    assert "| train_seconds | number | s |  | Wall time of all epochs, over all attempts |" in text
    assert "| best_epoch | integer | epoch | yes | Epoch of the best validation Dice |" in text
    rows = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    assert len(rows) == sum(len(table.columns) + 1 for table in VIEWS.values())
