A step that has used up its attempts is given up and undone, for one of them may have had its effect: here
the last.

saga:
  reserve
  pay, attempts 3

given:
  pay: faulted BUSY, 2 times
  pay: status UNAVAILABLE after the effect

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun
  pay faulted BUSY, again in 100ms
  pay faulted BUSY at attempt 2, again in 200ms
  pay faulted UNKNOWN UNAVAILABLE at attempt 3, for good
  undo pay begun, no receipt
  pay undone
  undo reserve begun
  reserve undone

ends: COMPENSATED
error: pay at PayService was given up: UNAVAILABLE: a status. What was begun has been undone.
stands: nothing
sent: do reserve, do pay, do pay, do pay, undo pay, undo reserve
