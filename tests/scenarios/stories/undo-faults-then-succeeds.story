An undo that faults is asked again, and what comes behind it waits.

saga:
  reserve
  pay
  ship

given:
  ship: status UNIMPLEMENTED
  undo pay: faulted BUSY
  undo pay: status UNAVAILABLE

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +0s pay succeeded
  +0s ship begun
  +0s ship faulted PERMANENT UNIMPLEMENTED, for good
  +0s undo ship begun, no receipt
  +0s ship undone
  +0s undo pay begun
  +0s undo pay faulted BUSY, again in 500ms
  +500ms undo pay faulted UNKNOWN UNAVAILABLE at attempt 2, again in 1s
  +1.5s pay undone at attempt 3
  +1.5s undo reserve begun
  +1.5s reserve undone

ends: COMPENSATED
error: ship at ShipService was given up: UNIMPLEMENTED: a status. What was begun has been undone.
stands: nothing
sent: do reserve, do pay, do ship, undo ship, undo pay, undo pay, undo pay, undo reserve
