Where a definition says so, an undo that fails for good holds up none of the others; it needs a person all
the same.

saga:
  reserve
  pay, continue
  ship

given:
  ship: status UNIMPLEMENTED
  undo pay: refused SETTLED

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun
  pay succeeded
  ship begun
  ship faulted PERMANENT UNIMPLEMENTED, for good
  undo ship begun, no receipt
  ship undone
  undo pay begun
  undo pay refused SETTLED
  undo reserve begun
  reserve undone

ends: DEAD_LETTERED, pay REFUSED
error: ship at ShipService was given up: UNIMPLEMENTED: a status. Its undo needs a person: undo_pay at PayService failed for good.
stands: pay
