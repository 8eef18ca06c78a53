namespace MLNet.SDN.Planning.Trees;

/// <summary>Finds parts of the message over trees so that the slowest link is as fast as any forest can make it.</summary>
/// <remarks>
/// A linear programme with a column for each tree: minimise T, the parts adding up to one and no link's edges, weighted by parts, exceeding T times its
/// rate. Columns are made when they pay (G. B. Dantzig and P. Wolfe, 1960): with the prices of the simplex method <see cref="CheapestTree"/> finds the best
/// one, and its price is a lower bound of T, so that it is known how much is left to gain. Deterministic.
/// </remarks>
internal sealed class TreeMixture
{
    // Solved when no forest can be faster by more than this.
    private const double Gap = 0.005;

    // A column or pivot below this is none.
    private const double Zero = 1e-9;

    private readonly CheapestTree trees;
    private readonly JobSites sites;
    private readonly double[] rates;
    private readonly int[] rows;
    private readonly int size;
    private readonly double[] inverse;
    private readonly double[] value;
    private readonly Column?[] basis;

    private TreeMixture(JobSites sites)
    {
        this.sites = sites;
        trees = new(sites);
        rates = [.. sites.Groups.Select(g => g.Rate * g.Hosts.Length), .. sites.RackRates, .. sites.PodRates];
        rows = [.. Enumerable.Range(0, rates.Length).Where(l => double.IsFinite(rates[l]))];
        size = rows.Length + 1;
        inverse = new double[size * size];
        value = new double[size];
        basis = new Column?[size];
    }

    /// <summary>Solves the programme.</summary>
    /// <param name="sites">Where the job's hosts stand.</param>
    /// <param name="mostSteps">Steps after which the parts are taken as they are.</param>
    /// <returns>Trees with their parts, which add up to one; and the least time that any forest can have, in units of one message at rate one.</returns>
    public static (List<(GroupTree Tree, double Part)> Parts, double LowerBound) Solve(JobSites sites, int mostSteps) => new TreeMixture(sites).Solve(mostSteps);

    private (List<(GroupTree Tree, double Part)> Parts, double LowerBound) Solve(int mostSteps)
    {
        // 1. One tree, all links' room left over, and the time that its slowest link needs.
        var prices = new double[size];
        Array.Fill(prices, 1.0 / rows.Length);
        var (column, lower) = Cheapest(prices);
        for (var row = 0; row < size; row++)
        {
            inverse[(row * size) + row] = 1;
        }

        for (var row = 0; row < size - 1; row++)
        {
            inverse[(row * size) + size - 1] = -column.Entries[row];

            // Links that bind alike would make the method walk on the spot: each has a little room of its own.
            value[row] = (1e-7 * (1 + (row * 7919 % 101 / 101.0))) - column.Entries[row];
        }

        value[size - 1] = 1;
        basis[size - 1] = column;
        var timeEntries = new double[size];
        Array.Fill(timeEntries, -1, 0, size - 1);
        var time = new Column(null, timeEntries);
        var timeRow = 0;
        for (var row = 1; row < size - 1; row++)
        {
            timeRow = value[row] < value[timeRow] ? row : timeRow;
        }

        Enter(time, timeRow);

        // 2. What pays enters, until next to nothing can be gained.
        for (var step = 0; step < mostSteps; step++)
        {
            var slack = -1;
            for (var row = 0; row < size; row++)
            {
                prices[row] = -inverse[(timeRow * size) + row];
            }

            for (var row = 0; row < size - 1; row++)
            {
                slack = prices[row] < -Zero && (slack < 0 || prices[row] < prices[slack]) ? row : slack;
            }

            if (slack >= 0)
            {
                var entries = new double[size];
                entries[slack] = 1;
                column = new(null, entries);
            }
            else
            {
                (column, var price) = Cheapest(prices);
                lower = Math.Max(lower, price);
                if (value[timeRow] <= lower * (1 + Gap) || price >= -prices[size - 1] - Zero)
                {
                    break;
                }
            }

            if (Leaving(column, timeRow) is var leaving && leaving < 0)
            {
                break;
            }

            Enter(column, leaving);
        }

        var parts = new List<(GroupTree Tree, double Part)>();
        for (var row = 0; row < size; row++)
        {
            if (basis[row]?.Tree is { } tree && value[row] > 1e-4)
            {
                parts.Add((tree, value[row]));
            }
        }

        var sum = parts.Sum(p => p.Part);
        return ([.. parts.Select(p => (p.Tree, p.Part / sum))], lower);
    }

    // Rows are over rates, so a link's price is that of its row over its rate.
    private (Column Column, double Price) Cheapest(double[] prices)
    {
        var (n, m) = (sites.Groups.Length, sites.RackRates.Length);
        var all = new double[rates.Length];
        for (var row = 0; row < rows.Length; row++)
        {
            all[rows[row]] = Math.Max(0, prices[row]) / rates[rows[row]];
        }

        var (tree, price) = trees.Find(all[..n], all[n..(n + m)], all[(n + m)..]);
        var edges = trees.Edges(tree);
        var entries = new double[size];
        for (var row = 0; row < rows.Length; row++)
        {
            entries[row] = edges[rows[row]] / rates[rows[row]];
        }

        entries[size - 1] = 1;
        return (new(tree, entries), price);
    }

    private double[] Direction(Column column)
    {
        var direction = new double[size];
        for (var row = 0; row < size; row++)
        {
            var sum = 0.0;
            for (var k = 0; k < size; k++)
            {
                sum += inverse[(row * size) + k] * column.Entries[k];
            }

            direction[row] = sum;
        }

        return direction;
    }

    private int Leaving(Column column, int timeRow)
    {
        var direction = Direction(column);
        var leaving = -1;
        for (var row = 0; row < size; row++)
        {
            if (row != timeRow && direction[row] > Zero && (leaving < 0 || value[row] / direction[row] < value[leaving] / direction[leaving]))
            {
                leaving = row;
            }
        }

        return leaving;
    }

    private void Enter(Column column, int leaving)
    {
        var direction = Direction(column);
        var pivot = direction[leaving];
        value[leaving] /= pivot;
        for (var k = 0; k < size; k++)
        {
            inverse[(leaving * size) + k] /= pivot;
        }

        for (var row = 0; row < size; row++)
        {
            if (row == leaving || direction[row] == 0)
            {
                continue;
            }

            value[row] -= direction[row] * value[leaving];
            for (var k = 0; k < size; k++)
            {
                inverse[(row * size) + k] -= direction[row] * inverse[(leaving * size) + k];
            }
        }

        basis[leaving] = column;
    }

    /// <summary>A tree (or none: room left over, or time) by what it puts on links, over their rates.</summary>
    private sealed record Column(GroupTree? Tree, double[] Entries);
}
