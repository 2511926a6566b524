A step without a compensation is left alone once it has succeeded; of one that never answered, the late
Execute is barred.

saga:
  notify, no undo
  pay, no undo, attempts 1, timeout 1s

given:
  pay: succeeded, takes 1m

timeline:
  saga started
  notify begun
  notify succeeded
  pay begun
  pay faulted UNKNOWN DEADLINE_EXCEEDED, for good
  undo pay begun, no receipt
  pay undone

ends: COMPENSATED
error: pay at PayService was given up: DEADLINE_EXCEEDED: no answer in time. What was begun has been undone. Nothing undoes notify, pay.
stands: notify
sent: do notify, do pay, undo pay
