A pivot that is refused at its first attempt gives back what was reserved before it, and nothing of its own.

saga:
  reserve
  pay, pivot
  ship, retriable

given:
  pay: refused CARD_DECLINED

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun as the pivot
  pay refused CARD_DECLINED
  undo reserve begun
  reserve undone

ends: COMPENSATED
error: pay at PayService was refused: CARD_DECLINED: the business says no. What was begun has been undone.
stands: nothing
sent: do reserve, do pay, undo reserve

# The attempt that the crash may have swallowed may have paid: it is barred first.
after a crash at pay begun as the pivot:
  pay refused CARD_DECLINED
  undo pay begun, no receipt
  pay undone
  undo reserve begun
  reserve undone
