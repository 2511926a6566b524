A person has an undo asked for at once that waits for its time, and lets the next one be.

saga:
  reserve
  pay

given:
  pay: status UNIMPLEMENTED
  undo pay: pending, ask again in 1h
  undo reserve: faulted BUSY

meanwhile:
  undo pay pending, asked again in 1h -> operator RETRY pay
  undo reserve faulted BUSY, again in 500ms -> operator SKIP reserve

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +0s pay faulted PERMANENT UNIMPLEMENTED, for good
  +0s undo pay begun, no receipt
  +0s undo pay pending, asked again in 1h
  +0s operator RETRY pay
  +0s pay undone
  +0s undo reserve begun
  +0s undo reserve faulted BUSY, again in 500ms
  +0s operator SKIP reserve

ends: COMPENSATED, forced
error: pay at PayService was given up: UNIMPLEMENTED: a status. What else was begun has been undone. Left in place by hand: reserve.
stands: reserve
