An input that cannot be made is never sent: the saga turns back, and says which expression, and none of the
data.

saga:
  reserve
  pay
    input: {"amounts": ["input.amount", "outputs.reserve.price"]}
input: {"amount": 5}

given:
  reserve: succeeded with {"ref": "r-1"}

timeline:
  saga started
  reserve begun
  reserve succeeded with {"ref":"r-1"}
  pay's input.amounts[1] failed: outputs.reserve has no field "price"
  undo reserve begun
  reserve undone

ends: COMPENSATED
error: An expression of step pay failed, at input.amounts[1]: outputs.reserve has no field "price". What was begun has been undone.
stands: nothing
sent: do reserve, undo reserve
