"""What is made up where nobody gives an input or outputs: all that expressions read, of a sort that fits."""

import pytest

from coordinator.domain.ids import StepName
from coordinator.domain.jsontext import JsonValue
from coordinator.simulation.made_up import Data, NothingFits, made_up
from tests.unit.simulation.definitions import EVALUATE, a_saga, a_step

HOLD, PAY = StepName("hold"), StepName("pay")


def of(
    *steps: dict[str, JsonValue], given: JsonValue = None, outputs: dict[StepName, JsonValue] | None = None
) -> tuple[list[Data], dict[StepName, str]]:
    return made_up(a_saga(*steps), EVALUATE, given, outputs or {})


def test_nothing_is_made_up_that_nothing_reads() -> None:
    assert of(a_step("pay")) == ([Data({}, {})], {})


def test_a_field_that_a_step_asks_for_is_there() -> None:
    (data,), _ = of(a_step("pay", input=["order_id", "outputs"]))
    assert data == Data({"order_id": "order_id"}, {}, ("input.order_id",))


def test_what_is_read_deeply_is_there_deeply() -> None:
    (data,), _ = of(a_step("pay", input={"first": "input.order.items[1].sku", "all": "input.order"}))
    assert data.input == {"order": {"items": [None, {"sku": "sku"}]}}


def test_what_is_computed_with_is_a_number() -> None:
    (data,), _ = of(
        a_step("hold"),
        a_step("pay", input={"cents": "(outputs.hold.price + input.tip) * 100", "id": "input.id"}),
    )
    assert isinstance(data.input, dict)
    assert isinstance(data.input["tip"], int)
    assert data.input["id"] == "id"
    assert data.output_texts == {"hold": f'{{"price":{data.input["tip"]}}}'}


def test_a_sort_that_fits_one_expression_has_to_fit_the_others() -> None:
    (data,), _ = of(
        a_step("hold", input={"sum": "int(input.amount) + 1"}),
        a_step("pay", input={"of": "size(input.amount)"}),
    )
    assert data.input == {"amount": "1"}


def test_a_condition_that_is_never_met_is_told() -> None:
    (data,), one_way = of(a_step("pay", when="input.to == 'a' && input.to == 'b'"))
    assert data == Data({"to": "to"}, {}, ("input.to",))
    assert one_way == {PAY: "nothing was given or found that turns it"}


@pytest.mark.parametrize(
    ("condition", "met", "not_met"),
    [
        ("has(input.car)", {"car": "car"}, {}),
        ("input.sort == 'express'", {"sort": "express"}, {"sort": "sort"}),
        ("input.total > 100", {"total": 101}, {"total": 100}),
        ("!input.is_paid", {"is_paid": False}, {"is_paid": True}),
    ],
)
def test_a_condition_is_met_at_first_and_then_it_is_not(
    condition: str, met: JsonValue, not_met: JsonValue
) -> None:
    (first, other), one_way = of(a_step("hold"), a_step("pay", when=condition))
    assert (first.input, first.words) == (met, "")
    assert (other.input, other.words) == (not_met, "the condition of pay is not met")
    assert one_way == {}


def test_where_it_is_not_met_what_its_step_is_given_need_not_be_there() -> None:
    (first, other), _ = of(a_step("pay", when="has(input.car)", input={"car": "input.car.id"}))
    assert first.input == {"car": {"id": "id"}}
    assert other.input == {}


def test_a_condition_hangs_on_an_output() -> None:
    (first, other), _ = of(a_step("hold"), a_step("pay", when="outputs.hold.found"))
    assert (first.outputs[HOLD], other.outputs[HOLD]) == ({"found": True}, {"found": False})


def test_of_many_conditions_the_first_are_turned() -> None:
    steps = (a_step(f"s{number}", when=f"input.n{number}") for number in range(22))
    data, one_way = of(*steps)
    assert len(data) == 21
    assert one_way == dict.fromkeys((StepName("s20"), StepName("s21")), "that is done for 20 conditions")


def test_a_condition_over_what_is_given_comes_out_in_one_way() -> None:
    (data,), one_way = of(a_step("pay", when="has(input.car)"), given={"bike": 1})
    assert data == Data({"bike": 1}, {})
    assert one_way == {PAY: "nothing was given or found that turns it"}


def test_what_is_given_stays_as_it_is() -> None:
    (data,), _ = of(
        a_step("hold"),
        a_step("pay", input={"sum": "outputs.hold.price + input.tip"}),
        given={"tip": 2.5, "other": None},
        outputs={PAY: "paid"},
    )
    assert data.input == {"tip": 2.5, "other": None}
    assert data.outputs == {PAY: "paid", HOLD: {"price": 1.5}}
    assert data.made_up == ("outputs.hold.price",)


def test_an_expression_that_nothing_fits_is_told_with_what_it_reads() -> None:
    with pytest.raises(NothingFits) as caught:
        of(a_step("pay", input={"sum": "input.items.map(item, item.price * 2)"}))
    assert (caught.value.place, caught.value.named) == ("$.steps[0].input.sum", ("input.items",))


def test_what_is_given_may_be_wrong() -> None:
    (data,), _ = of(a_step("pay", input={"sum": "input.tip + 1"}), given={"tip": "much"})
    assert data.input == {"tip": "much"}
