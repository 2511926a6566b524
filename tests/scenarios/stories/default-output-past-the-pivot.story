The default output of a retriable step stands for it where it was omitted, and where a person let the saga
go on without it.

saga:
  pay, pivot
  gift, retriable, after pay
    when: input.gift
    default output: {"parcel": "none"}
  ship, retriable, after pay
    default output: {"parcel": "unknown"}
  mail, retriable, after gift and ship
    input: {"parcels": ["outputs.gift.parcel", "outputs.ship.parcel"]}
yields: {"parcel": "outputs.ship.parcel"}
input: {"gift": false}

given:
  ship: refused NO_SUCH_ADDRESS

meanwhile:
  at rest -> operator SKIP ship

timeline:
  saga started
  pay begun as the pivot
  pay succeeded
  gift omitted
  ship begun
  ship refused NO_SUCH_ADDRESS
  operator SKIP ship
  mail begun with {"parcels":["none","unknown"]}
  mail succeeded
  output shaped

ends: COMPLETED, forced
output: {"parcel": "unknown"}
stands: pay, mail
