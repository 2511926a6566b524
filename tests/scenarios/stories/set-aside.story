While a saga is set aside, nothing is asked for it, and a person can only have it driven on or end it.

saga:
  pay, pivot
  ship, retriable

given:
  ship: stale token

meanwhile:
  at rest -> operator RETRY ship, in vain: saga saga-1 was set aside: it can only be retried as a whole, or terminated

timeline:
  saga started
  pay begun as the pivot
  pay succeeded
  ship begun

ends: DEAD_LETTERED, set aside
error: The coordinator could not drive it on: ShipService has seen a newer fencing token for saga saga-1: another coordinator drives it, or this journal was restored from an old copy. Its effects stand as they are: a person has to look at it.
stands: pay
