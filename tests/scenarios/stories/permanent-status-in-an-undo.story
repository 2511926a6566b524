An undo that gets a status that will not pass by itself is asked for again, as long as its budget lasts.

saga:
  reserve
  pay

given:
  pay: status UNIMPLEMENTED
  undo reserve: status UNAUTHENTICATED, 2 times

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun
  pay faulted PERMANENT UNIMPLEMENTED, for good
  undo pay begun, no receipt
  pay undone
  undo reserve begun
  undo reserve faulted PERMANENT UNAUTHENTICATED, again in 500ms
  undo reserve faulted PERMANENT UNAUTHENTICATED at attempt 2, again in 1s
  reserve undone at attempt 3

ends: COMPENSATED
error: pay at PayService was given up: UNIMPLEMENTED: a status. What was begun has been undone.
stands: nothing
