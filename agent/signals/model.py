"""The served model's opinion: its answer, as it is. Nothing here decides a side."""

from __future__ import annotations

from agent.signals.signal import Context, Opinion, Signal

NAME = "model"


class Model:
    """BUY, SELL or HOLD as the service said; None where it has no information.

    A HOLD that carries a warning means "no information", not "stay out": it tightens nothing.
    """

    name = NAME

    def on_candle(self, context: Context) -> Signal | None:
        """Return the answer as a signal."""
        answer = context.prediction
        if answer is None or answer.error or (answer.side == "HOLD" and answer.warnings):
            return None
        opinions: dict[str, Opinion] = {"BUY": "BUY", "SELL": "SELL", "HOLD": "HOLD"}
        opinion = opinions.get(answer.side)
        if opinion is None:
            return None
        worth = {"BUY": answer.er_long, "SELL": answer.er_short, "HOLD": 0.0}[opinion]
        words = (
            f"{answer.variant or 'model'} v{answer.version}: {opinion}, expected "
            f"{answer.er_long:+.3f} R long, {answer.er_short:+.3f} R short"
        )
        return Signal(
            NAME,
            opinion,
            max(worth, 0.0),
            answer.valid_until_ms,
            words,
            answer.version,
            answer.variant,
            answer.request_id,
        )
