An undo whose input cannot be made fails again when it is asked for again; a person who has done it vouches
for it.

saga:
  reserve
    undo input: {"ref": "outputs.reserve.ref"}
    default output: {"ref": null}
  pay

given:
  pay: status UNIMPLEMENTED

meanwhile:
  at rest -> operator RETRY reserve
  at rest -> operator COMPLETE reserve

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun
  pay faulted PERMANENT UNIMPLEMENTED, for good
  undo pay begun, no receipt
  pay undone
  reserve's compensationInput.ref failed: expected outputs.reserve to be an object, found a text
  operator RETRY reserve
  reserve's compensationInput.ref failed: expected outputs.reserve to be an object, found a text
  operator COMPLETE reserve

ends: COMPENSATED, forced
error: pay at PayService was given up: UNIMPLEMENTED: a status. What was begun has been undone.
stands: reserve
sent: do reserve, do pay, undo pay
