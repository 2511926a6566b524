What a step is given was journaled before the crash, and is sent again as it was, in both directions.

saga:
  reserve
    input: {"sku": "input.sku"}
    undo input: {"ref": "outputs.reserve.ref"}
    default output: {"ref": null}
  pay
    input: {"ref": "outputs.reserve.ref"}
input: {"sku": "s-1"}

given:
  reserve: succeeded, and the coordinator dies, with {"ref": "r-1"}
  reserve: succeeded with {"ref": "r-1"}
  pay: status UNIMPLEMENTED
  undo reserve: succeeded, and the coordinator dies

timeline:
  saga started
  reserve begun with {"sku":"s-1"}
  saga resumed
  reserve succeeded with {"ref":"r-1"}
  pay begun with {"ref":"r-1"}
  pay faulted PERMANENT UNIMPLEMENTED, for good
  undo pay begun, no receipt
  pay undone
  undo reserve begun with {"ref":"r-1"}
  saga resumed
  reserve undone

ends: COMPENSATED
error: pay at PayService was given up: UNIMPLEMENTED: a status. What was begun has been undone.
stands: nothing
asked:
  do reserve with {"sku":"s-1"}
  undo reserve with {"ref":"r-1"}, receipt {"ref":"r-1"}
