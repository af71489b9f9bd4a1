import java.sql.SQLException;

/**
 * What a trade service does when an order was paid.
 *
 * <p>With Spring AMQP this class is a bean, and its method is annotated as below. Spring then replaces
 * {@link Consume}: its container calls the method, and {@link PaySuccess#read} becomes a
 * {@code MessageConverter}.
 *
 * <pre>
 * &#64;RabbitListener(queues = "sales-java.pay.success.queue")
 * &#64;Transactional
 * public void onPaySuccess(PaySuccess message) { ... }
 * </pre>
 */
final class TradePaySuccessListener {
    private final OrderService orders;

    TradePaySuccessListener(OrderService orders) {
        this.orders = orders;
    }

    /** Runs in one transaction: a message that comes again finds its key, and has no effect. */
    void onPaySuccess(PaySuccess message) throws SQLException {
        if (orders.isFirst(message.eventKey())) {
            orders.markOrderPaySuccess(message.orderNo());
        }
    }
}
