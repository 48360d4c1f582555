"""Row families of the model, one function each; FORMULATION.md states them in the same order and names."""

from optimizer.compile.rows.block import RowBlock, stacked
from optimizer.compile.rows.change import change_rows, kept_rows, move_rows, start_rows
from optimizer.compile.rows.demand import accuracy_rows, capacity_rows, demand_rows, switching_rows, use_rows
from optimizer.compile.rows.energy import energy_rows
from optimizer.compile.rows.queues import piece_rows, range_rows, staff_rows, staffed_rows
from optimizer.compile.rows.redundancy import (
    left_rows,
    lost_rows,
    recourse_accuracy_rows,
    recourse_piece_rows,
    recourse_rows,
    recourse_use_rows,
    victim_rows,
)
from optimizer.compile.rows.supply import budget_rows, commitment_rows, instance_rows, limit_rows, lot_rows, spot_rows
from optimizer.compile.rows.training import train_rows, train_use_rows

__all__ = ["ROW_FAMILIES", "RowBlock", "stacked"]

ROW_FAMILIES = (
    demand_rows,
    capacity_rows,
    switching_rows,
    use_rows,
    accuracy_rows,
    instance_rows,
    commitment_rows,
    lot_rows,
    limit_rows,
    budget_rows,
    energy_rows,
    spot_rows,
    start_rows,
    train_rows,
    train_use_rows,
    move_rows,
    change_rows,
    kept_rows,
    staff_rows,
    piece_rows,
    staffed_rows,
    range_rows,
    recourse_rows,
    recourse_accuracy_rows,
    left_rows,
    victim_rows,
    recourse_use_rows,
    lost_rows,
    recourse_piece_rows,
)
