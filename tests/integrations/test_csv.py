"""The CSV logger: one header, one row per number, and a resumed run goes on as if it had never stopped."""

from pathlib import Path

import pytest

import ahsar
from ahsar.integrations.csv import CSVLogger
from tests import models


def test_it_writes_what_the_controller_reads(tmp_path: Path) -> None:
    homeostat = ahsar.attach(models.build())
    homeostat.model(models.batch(0)[0])
    homeostat.step()
    logger = CSVLogger(tmp_path / "new" / "log.csv")
    logger.log_metrics(homeostat.readings(), 1)
    logger.log_metrics({"loss": 0.5}, 1)
    logger.close()
    header, *rows = [line.split(",") for line in logger.path.read_text().splitlines()]
    assert header == ["step", "name", "value"]
    assert {name: float(value) for step, name, value in rows if step == "1"} == {**homeostat.readings(), "loss": 0.5}
    names = ["rate/neurons.0", "rate/neurons.1", "scale/neurons.0", "scale/neurons.1", "gain", "loss"]
    assert [row[1] for row in rows] == names


def write(path: Path, first: int, last: int) -> None:
    logger = CSVLogger(path)
    for step in range(first, last):
        logger.log_metrics({"loss, of training": step / 7, "gain": 1.0}, step)
    logger.close()


@pytest.mark.parametrize("torn", ["", "5,los", '5,"loss, of'])
def test_a_killed_and_resumed_log_is_that_of_one_run(tmp_path: Path, torn: str) -> None:
    straight, resumed = tmp_path / "straight.csv", tmp_path / "resumed.csv"
    write(straight, 0, 10)
    write(resumed, 0, 5)
    with resumed.open("a") as file:
        file.write(torn)
    write(resumed, 3, 8)  # from a checkpoint of step 3
    write(resumed, 8, 10)
    assert resumed.read_bytes() == straight.read_bytes()


def test_a_file_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ahsar.DataError, match=r"mine\.csv does not start with step,name,value"):
        CSVLogger(path)
    assert path.read_text() == "a,b\n1,2\n"
    path.write_text("")
    CSVLogger(path).close()
    assert path.read_text().strip() == "step,name,value"
