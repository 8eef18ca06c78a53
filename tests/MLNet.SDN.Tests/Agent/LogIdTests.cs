using System.Reflection;
using Microsoft.Extensions.Logging;
using MLNet.SDN.Agent;
using MLNet.SDN.Aggregation;

namespace MLNet.SDN.Tests.Agent;

public sealed class LogIdTests
{
    [Fact]
    public void EventIds_OfTheAgentProcess_AreUniqueAndInTheirBlocks()
    {
        var messages = new[] { typeof(AgentProcess).Assembly, typeof(AggregationHost).Assembly }
            .SelectMany(a => a.GetTypes())
            .SelectMany(t => t.GetMethods(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic))
            .Select(m => (Method: $"{m.DeclaringType!.Name}.{m.Name}", m.GetCustomAttribute<LoggerMessageAttribute>()?.EventId))
            .Where(m => m.EventId is not null)
            .ToList();

        Assert.InRange(messages.Count, 20, 1000);
        Assert.Empty(messages.GroupBy(m => m.EventId).Where(g => g.Count() > 1).Select(g => string.Join(", ", g)));
        Assert.All(messages, m => Assert.True(m.EventId is (>= 3000 and < 3400) or (>= 4000 and < 4200), m.ToString()));
    }
}
