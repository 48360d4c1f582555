"""Cost heads: one small module each, with its formula, units and source (docs/cost-model.md).

Inputs are floats or arrays, combined elementwise; nothing here knows of a model, an instance or a plan. What a head needs from
above (utilization, replicas, rates) is passed in. Amounts and prices are non-negative: whoever reads them checks that. A price
that is missing is NaN and stays NaN, never zero. Scalars in give a scalar out.
"""
