# ruff: noqa: F401
"""Ablations: runs -> a grid of cells, with mean and spread over seeds, and with what the grid lacks."""

from sslcore.analysis.ablation.entry import NOT_RUN, Entry, by_method, entries, made, to_make
from sslcore.analysis.ablation.grid import Cell, Measured, best, cells, lines, records
from sslcore.analysis.ablation.missing import seconds_to_run, to_run
from sslcore.analysis.ablation.papers import Curve, published
from sslcore.analysis.ablation.places import MECHANISM, NEGATIVES, axes, in_order, in_words, is_numeric, suited
from sslcore.analysis.ablation.rates import batch_as_negatives, learning_rate_rule
