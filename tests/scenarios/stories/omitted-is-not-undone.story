A step that was omitted is not undone, and what it stands before is undone past it, in the same order.

saga:
  reserve
  gift
    when: input.gift
  pay
  ship
input: {"gift": false}

given:
  ship: status UNIMPLEMENTED

timeline:
  saga started
  reserve begun
  reserve succeeded
  gift omitted
  pay begun
  pay succeeded
  ship begun
  ship faulted PERMANENT UNIMPLEMENTED, for good
  undo ship begun, no receipt
  ship undone
  undo pay begun
  pay undone
  undo reserve begun
  reserve undone

ends: COMPENSATED
error: ship at ShipService was given up: UNIMPLEMENTED: a status. What was begun has been undone.
stands: nothing
sent: do reserve, do pay, do ship, undo ship, undo pay, undo reserve
