An undo is given what its own mapping makes of the saga's input and of what the step and those before it
answered.

saga:
  reserve
    undo input: {"ref": "outputs.reserve.ref", "reason": "input.order"}
    default output: {"ref": null}
  pay
    input: {"amount": "input.amount"}
input: {"order": "o-1", "amount": 5}

given:
  reserve: succeeded with {"ref": "r-1"}
  pay: status UNIMPLEMENTED
  undo reserve: faulted BUSY

timeline:
  saga started
  reserve begun
  reserve succeeded with {"ref":"r-1"}
  pay begun with {"amount":5}
  pay faulted PERMANENT UNIMPLEMENTED, for good
  undo pay begun, no receipt
  pay undone
  undo reserve begun with {"reason":"o-1","ref":"r-1"}
  undo reserve faulted BUSY, again in 500ms
  reserve undone at attempt 2

ends: COMPENSATED
error: pay at PayService was given up: UNIMPLEMENTED: a status. What was begun has been undone.
stands: nothing
asked:
  undo pay with {"amount":5}, no receipt
  undo reserve with {"reason":"o-1","ref":"r-1"}, receipt {"ref":"r-1"}
