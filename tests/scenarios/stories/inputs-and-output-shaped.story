What a step is given is made when it begins, journaled with that, and the same in every attempt; so is the
saga's output.

saga:
  reserve
    input: {"sku": "input.sku", "count": "size(input.names)"}
  pay, pivot
    input: {"ref": "outputs.reserve.ref", "currency": "'EUR'", "final": true}
  ship, retriable
yields: {"paid": "outputs.pay.paid", "for": ["outputs.reserve.ref"]}
input: {"sku": "s-1", "names": ["ann", "bob"]}

given:
  reserve: succeeded with {"ref": "r-1"}
  pay: status UNAVAILABLE after the effect
  pay: succeeded with {"paid": 12345678901234567890}

timeline:
  saga started
  reserve begun with {"count":2,"sku":"s-1"}
  reserve succeeded with {"ref":"r-1"}
  pay begun as the pivot with {"currency":"EUR","final":true,"ref":"r-1"}
  pay faulted UNKNOWN UNAVAILABLE, again in 100ms
  pay succeeded at attempt 2 with {"paid":12345678901234567890}
  ship begun
  ship succeeded
  output shaped

ends: COMPLETED
output: {"paid": 12345678901234567890, "for": ["r-1"]}
stands: reserve, pay, ship
asked:
  do reserve with {"count":2,"sku":"s-1"}
  do pay with {"currency":"EUR","final":true,"ref":"r-1"}
