"""Where each number lies in the two integer vectors that the kernels read. No array library.

A policy vector says what the policy file says, for any entry; a rule vector is the same at one
entry (resolve.py fills it). The multiple of the current ATR takes its parts to `1/units` tick.
Distances of a policy are triples: what one is made of per tick part of the entry price, per part
of the ATR at entry, and in itself (scale.py has the arithmetic).
"""

from __future__ import annotations

# Policy vector: plain numbers.
(
    P_FORM, P_CONTINUOUS, P_GAIN, P_GAIN_OVER, P_MULTIPLE, P_MULTIPLE_OVER,
    P_FLOOR, P_FLOOR_OVER, P_CAP, P_CAP_OVER, P_FOLLOW, P_FOLLOW_OVER,
    P_STOP_NEEDS, P_TARGET_NEEDS, P_BREAKEVEN, P_UNITS, P_SCALE, P_ATR_PARTS,
) = range(18)  # fmt: skip

# Policy vector: distances, four numbers each (present, absolute, per entry part, per ATR part).
DISTANCES = (
    "stop", "target", "step", "move", "min_distance", "activation", "lock", "max_distance",
    "min_gap", "max_extension",
)  # fmt: skip
(
    D_STOP, D_TARGET, D_STEP, D_MOVE, D_MIN_DISTANCE, D_ACTIVATION, D_LOCK, D_MAX_DISTANCE,
    D_MIN_GAP, D_MAX_EXTENSION,
) = range(18, 58, 4)  # fmt: skip
POLICY_SIZE = 58

# Rule vector.
(
    R_SIGN, R_ENTRY, R_PER_PART, R_UNITS, R_BASE, R_BEYOND, R_STOP_DISTANCE, R_TARGET_DISTANCE,
    R_FORM, R_STEP, R_MOVE, R_GAIN, R_GAIN_OVER, R_MULTIPLE, R_MULTIPLE_OVER, R_MIN_DISTANCE,
    R_ACTIVATION, R_ACTIVATION_KNOWN, R_LOCK_FROM, R_LOCK_LEVEL, R_MAX_DISTANCE, R_GAP,
    R_FLOOR, R_FLOOR_OVER, R_CAP, R_CAP_OVER, R_DRIVE, R_DRIVE_OVER, R_FOLLOW, R_FOLLOW_OVER,
    R_MAX_EXTENSION, R_STOP_READY, R_TARGET_READY, R_ATR, R_STOP, R_TARGET, R_HAS_TARGET, R_SCALE,
) = range(38)  # fmt: skip
RULE_SIZE = 38

ABSENT = -1  # a distance that is not there

# Why an entry is not traded.
FITS, STOP_TOO_NEAR, TARGET_TOO_NEAR, GAP_TOO_SMALL, LEVEL_NOT_POSITIVE, PAIR_CROSSED, NO_ATR = (
    range(7)
)

# How a position ended.
END, STOP, TARGET = range(3)
REASONS = ("end", "stop", "target")
