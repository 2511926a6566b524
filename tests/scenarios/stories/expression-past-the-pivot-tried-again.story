A step past the pivot whose input cannot be made fails again when it is asked again: nothing changes that
but a person who vouches for it.

saga:
  pay, pivot
  ship, retriable
    input: {"payment": "outputs.pay.id"}
  mail, retriable

meanwhile:
  at rest -> operator RETRY ship
  at rest -> operator COMPLETE ship with null

timeline:
  saga started
  pay begun as the pivot
  pay succeeded
  ship's input.payment failed: expected outputs.pay to be an object, found a text
  operator RETRY ship
  ship's input.payment failed: expected outputs.pay to be an object, found a text
  operator COMPLETE ship with null
  mail begun
  mail succeeded

ends: COMPLETED, forced
stands: pay, mail
sent: do pay, do mail
