A person vouches for a retriable step that could not be brought about, and the saga's output holds what they
said.

saga:
  pay, pivot
  ship, retriable, budget 100ms
  mail, retriable
yields: {"parcel": "outputs.ship.parcel"}

given:
  ship: status INTERNAL after the effect, 2 times

meanwhile:
  at rest -> operator COMPLETE ship with {"parcel": "by hand"}

timeline:
  saga started
  pay begun as the pivot
  pay succeeded
  ship begun
  ship faulted UNKNOWN INTERNAL, again in 100ms
  ship faulted UNKNOWN INTERNAL at attempt 2, for good
  operator COMPLETE ship with {"parcel":"by hand"}
  mail begun
  mail succeeded
  output shaped

ends: COMPLETED, forced
output: {"parcel": "by hand"}
stands: pay, ship, mail
