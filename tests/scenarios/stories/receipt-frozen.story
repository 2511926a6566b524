The receipt that an undo began with stays: an answer that comes after a crash is not waited for, and cannot
change it.

saga:
  reserve
  pay

given:
  pay: succeeded, takes 6s, with {"payment": 7}
  undo pay: faulted BUSY, 4 times

meanwhile:
  pay begun -> cancel
  cancel requested -> the coordinator dies

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +0s cancel requested
  +0s saga resumed
  +0s undo pay begun, no receipt
  +0s undo pay faulted BUSY, again in 500ms
  +500ms undo pay faulted BUSY at attempt 2, again in 1s
  +1.5s undo pay faulted BUSY at attempt 3, again in 2s
  +3.5s undo pay faulted BUSY at attempt 4, again in 4s
# By now the payment has been made.
  +7.5s pay undone at attempt 5
  +7.5s undo reserve begun
  +7.5s reserve undone

ends: COMPENSATED
error: Cancelled. What was begun has been undone.
stands: nothing
asked:
  undo pay with {"outputs":{"reserve":"reserve done"}}, no receipt
