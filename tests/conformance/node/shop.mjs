// A made-up shop's server, speaking through the client under test: node shop.mjs HOST KEY
import { Analytics } from '@segment/analytics-node'

const [host, writeKey] = process.argv.slice(2)
const analytics = new Analytics({ writeKey, host, flushAt: 4, flushInterval: 50, maxRetries: 5 })
const failures = []
analytics.on('error', (error) => failures.push(error))

const who = { userId: 'u-node', anonymousId: 'a-node' }
const timestamp = new Date('2026-03-01T10:00:00.250Z')
analytics.page({ anonymousId: 'a-node', name: 'Home', properties: { path: '/' }, timestamp })
analytics.track({
  anonymousId: 'a-node',
  event: 'Product Viewed',
  properties: { product_id: 'p-1', name: 'Espresso', category: 'coffee', price: 19.99, currency: 'EUR' },
  timestamp,
})
analytics.identify({ ...who, traits: { plan: 'gold', email: 'node@shop.example', visits: 3 }, timestamp })
analytics.track({
  ...who,
  event: 'Order Completed',
  properties: {
    order_id: 'o-node-1',
    currency: 'EUR',
    total: 3 * 19.99 + 0.1 + 0.2,
    shipping: 0.1 + 0.2,
    products: [{ product_id: 'p-1', category: 'coffee', price: 19.99, quantity: 3 }],
  },
  timestamp,
})
analytics.track({
  ...who,
  event: 'purchase',
  properties: { transaction_id: 'o-node-2', currency: 'JPY', value: 1500, items: [{ item_id: 'p-2', price: 1500, quantity: 1 }] },
  timestamp,
})
analytics.track({ ...who, event: 'Gift Wrapped', properties: { paper: 'blue', metres: 1.5 }, timestamp })
analytics.alias({ previousId: 'a-old', userId: 'u-node', timestamp })
analytics.group({ userId: 'u-node', groupId: 'g-1', traits: { plan: 'team' }, timestamp })
analytics.screen({ ...who, name: 'Cart', timestamp })
await analytics.closeAndFlush({ timeout: 20000 })
if (failures.length) {
  console.error(JSON.stringify(failures.map((each) => String(each.reason ?? each))))
  process.exit(1)
}
