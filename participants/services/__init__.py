"""The five example services: business code only, on real state."""

from participants.base import Participant
from participants.services.inventory import InventoryService
from participants.services.notification import NotificationService
from participants.services.orders import OrderService
from participants.services.payment import PaymentService
from participants.services.shipping import ShippingService

EXAMPLES: dict[str, type[Participant]] = {
    service.name: service
    for service in (
        OrderService,
        InventoryService,
        PaymentService,
        ShippingService,
        NotificationService,
    )
}
