"""Counts the steps of a training, where carbonzeus looks for them. Needs nothing but Python (3.9 or newer).

    from carbonzeus import Progress

    with Progress(total_steps=90_000) as progress:
        for batch in batches:
            train(batch)
            progress.step()

`carbonzeus.hf`, `carbonzeus.lightning` and `carbonzeus.pytorch_lightning` do the same as callbacks of trainers.
"""

from carbonzeus.progress import Progress

__all__ = ["Progress"]
