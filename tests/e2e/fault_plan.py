"""What goes wrong at the participants during a drill, besides the kills."""


def fault_plan(seed: int) -> dict[str, object]:
    """Some of everything, by chance that *seed* decides."""

    def rule(fault: str, probability: float, **more: object) -> dict[str, object]:
        return {"transaction": "*", "fault": fault, "probability": probability, **more}

    def undo(fault: str, probability: float, **more: object) -> dict[str, object]:
        return {"compensation": "*", "fault": fault, "probability": probability, **more}

    return {
        "seed": seed,
        "rules": [
            rule("latency", 1, compensation="*", distribution="exponential", mean_ms=50, max_ms=500),
            rule("refused", 0.02, code="NOT_TODAY"),
            rule("faulted", 0.04, retry_after_ms=20),
            rule("pending", 0.04, ask_again_after_ms=50),
            rule("status", 0.03, status="UNAVAILABLE"),
            rule("status", 0.01, status="INTERNAL"),
            rule("reply_lost", 0.03, status="UNAVAILABLE"),
            rule("reply_lost", 0.01, times=3),
            rule("redeliver", 0.05, after_ms=300),
            rule("wrong_key", 0.003),
            undo("faulted", 0.05),
            undo("pending", 0.03, ask_again_after_ms=50),
            undo("status", 0.03, status="PERMISSION_DENIED"),
            undo("reply_lost", 0.03, status="UNAVAILABLE"),
            # What makes dead letters: a person has to ask again, or to decide.
            undo("refused", 0.15, code="LOCKED"),
        ],
    }
